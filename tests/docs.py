"""The tables of checks in docs/, from the catalogue: `python -m tests.docs` writes them anew."""

import re
from collections.abc import Iterable
from pathlib import Path

from oolong.audit import catalogue
from oolong.audit.registry import Entry
from oolong.audit.rules import RULES
from tests.support import CHECKOUT

FILES = tuple(CHECKOUT / "docs" / name for name in ("audit.md", "stub-pass.md", "extending.md"))
# <!-- checks: NAMES --> is followed by a table of those checks, and of those whose names begin with NAME and a dot
TABLE = re.compile(
    r"(?P<start><!-- checks: (?P<names>[^>]*) -->\n)(?P<table>.*?)(?P<end><!-- end of checks -->)", re.DOTALL
)
RULE_ROWS = re.compile(r"(?P<start><!-- rules -->\n).*?(?P<end><!-- end of rules -->)", re.DOTALL)


def rewritten(text: str) -> str:
    """A page with its tables as they must be."""
    text = TABLE.sub(lambda match: f"{match['start']}{table(named(match['names'].split()))}{match['end']}", text)
    return RULE_ROWS.sub(lambda match: f"{match['start']}{rules()}{match['end']}", text)


def rules() -> str:
    """A table of the rules."""
    head = "| rule | explains | of the checks |\n|---|---|---|\n"
    checks = {name: ", ".join(f"`{check}`" for check in rule.checks) for name, rule in RULES.items()}
    return head + "".join(f"| `{name}` | {rule.says} | {checks[name]} |\n" for name, rule in RULES.items())


def named(words: Iterable[str]) -> list[Entry]:
    """The checks that the words name, in the order of the words."""
    every = catalogue.entries()
    return [entry for word in words for name, entry in every.items() if name == word or name.startswith(f"{word}.")]


def table(entries: Iterable[Entry]) -> str:
    rows = ("| check | holds when | a failure means |", "|---|---|---|")
    return "".join(f"{row}\n" for row in (*rows, *map(_row, entries)))


def _row(entry: Entry) -> str:
    return f"| `{entry.name}` | {entry.holds} | {entry.failure} |"


def shown() -> set[str]:
    """The names of all checks that some table shows."""
    words = [word for file in FILES for match in TABLE.finditer(file.read_text()) for word in match["names"].split()]
    return {entry.name for entry in named(words)}


def rewrite(file: Path) -> None:
    file.write_text(rewritten(file.read_text()))


if __name__ == "__main__":
    for page in FILES:
        rewrite(page)
