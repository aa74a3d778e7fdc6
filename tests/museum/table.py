"""The table of exhibits in docs/audit.md: `python -m tests.museum.table` writes it anew."""

import re

from oolong.host.layout import default_cache
from oolong.museum.exhibit import Exhibit, chosen
from tests.checkout import layout_of
from tests.support import CHECKOUT

FILE = CHECKOUT / "docs" / "audit.md"
TABLE = re.compile(r"(?P<start><!-- museum -->\n).*?(?P<end><!-- end of museum -->)", re.DOTALL)


def exhibits() -> tuple[Exhibit, ...]:
    """All exhibits of this checkout."""
    return chosen(layout_of(default_cache()), None)


def rewritten(text: str) -> str:
    """A page with its table as it must be."""
    rows = ("| exhibit | what it is | commit | kernels | shown in | caught by |", "|---|---|---|---|---|---|")
    table = "".join(f"{row}\n" for row in (*rows, *map(_row, exhibits())))
    return TABLE.sub(lambda match: f"{match['start']}{table}{match['end']}", text)


def _row(exhibit: Exhibit) -> str:
    shown = " and ".join(endian.value.upper() for endian in exhibit.endians) if exhibit.needs_kernel else "small"
    checks = ", ".join(f"`{expected.check}`" for expected in exhibit.caught_by)
    return f"| `{exhibit.id}` | {exhibit.what} | {exhibit.commit} | {exhibit.kernels} | {shown} | {checks} |"


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text()))
