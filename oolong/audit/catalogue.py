"""All checks that there are, by name: what each is, what it needs, and which stages decide it (pure)."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from oolong.audit import outcomes
from oolong.audit.guest_checks import GUEST
from oolong.audit.live_checks import LIVE
from oolong.audit.object_checks import OBJECT
from oolong.audit.registry import Entry
from oolong.audit.static_checks import IMAGE
from oolong.audit.tree_checks import TREE
from oolong.errors import did_you_mean


@cache
def entries() -> Mapping[str, Entry]:
    """Every check by its name, in the order of docs/audit.md."""
    return by_name(
        *OBJECT.entries,
        outcomes.TREE_SCRIPT,
        *(entry for group in IMAGE for entry in group.entries),
        outcomes.POST_LINK_SCRIPTS,
        outcomes.PROBE,
        *TREE.entries,
        *(entry for group in LIVE for entry in group.entries),
        *(entry for group in GUEST for entry in group.entries),
        *outcomes.CELL,
    )


def by_name(*every: Entry) -> dict[str, Entry]:
    """ValueError for two checks of one name."""
    found: dict[str, Entry] = {}
    for entry in every:
        if entry.name in found:
            raise ValueError(f"there are two checks with the name {entry.name!r}")
        found[entry.name] = entry
    return found


def named(name: str) -> Entry:
    """The check of a name; LookupError if there is none."""
    try:
        return entries()[name]
    except KeyError:
        raise LookupError(f"no check has the name {name!r}; {did_you_mean(name, entries())}") from None


def as_json(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "needs": entry.needs.value,
        "kind": entry.kind.value if entry.kind else None,
        "holds": entry.holds,
        "failure": entry.failure,
        "stages": list(entry.stages),
        "about_stubs": entry.about_stubs,
        "due": entry.due.as_json(),
    }
