"""With what the verdict on a dead kernel begins: the stub at fault, if memory shows one; then its console (pure)."""

from collections.abc import Iterable, Sequence

from oolong.audit.catalogue import named
from oolong.audit.check import Check, Finding
from oolong.audit.registry import Needs
from oolong.engine.stage import StageResult
from oolong.errors import Kind

BOOT = "boot"
# what the stage boot says of stubs that its console led into: the functions that they serve
SERVED = "served"


def at_fault(stage: StageResult, wrong: Sequence[Check]) -> tuple[Kind | None, str, tuple[str, ...]] | None:
    """The kind, summary and lines of a failed boot of which memory says why; None where it does not.

    A function whose stub is on the console goes first: it is what the kernel died in.
    """
    if stage.stage != BOOT:
        return None
    seen = [check for check in wrong if named(check.name).needs is Needs.MEMORY]
    if not seen:
        return None
    served = set(stage.data.get(SERVED, ()))
    told = {check.name: _told(check, served) for check in seen}
    first = min(seen, key=lambda check: (not _of(check, served), not named(check.name).about_stubs))
    lines = [told.pop(first.name), *told.values()]
    title = stage.lines[0] if stage.lines else stage.kind or "it failed"
    return named(first.name).kind, f"{lines[0]}; {stage.stage}: {title}", (*lines, *stage.lines)


def _of(check: Check, functions: Iterable[str]) -> list[Finding]:
    """The findings about some functions."""
    among = set(functions)
    return [one for one in check.findings if one.who in among]


def _told(check: Check, served: Iterable[str]) -> str:
    """A check in one line, that begins with whom the console led to."""
    first = _of(check, served)
    if not first:
        return f"{check.name}: {check.evidence}"
    others = check.count - len({(one.who, one.address) for one in first})
    return f"{check.name}: {first[0].told}" + (f"; and {others} more" if others > 0 else "")
