"""Kernel configurations as symbols and values (pure): fragments merged, a .config changed, and the result asserted.

Symbols stand without CONFIG_; a value is what stands after the `=` in a .config, and `n` for one that is not set.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from oolong.errors import BadInput
from oolong.host.files import text_of

ASSIGNED = re.compile(r"CONFIG_(?P<symbol>\w+)=(?P<value>.*)")
UNSET = re.compile(r"# CONFIG_(?P<symbol>\w+) is not set")
NOT_SET = "n"
# what may stand around a line: a line feed alone ends it, since strings may hold all else
BLANK = " \t\r"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A symbol that came out otherwise than asked; `why` are lines on what stood in its way."""

    symbol: str
    asked: str
    came: str
    why: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        return (f"{self.symbol}: asked for {self.asked}, came out {self.came}", *(f"  {line}" for line in self.why))


def parse(text: str, *, where: str) -> dict[str, str]:
    """Symbol → value of a .config or a fragment; the last line for a symbol counts. BadInput names a line that is
    none."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip(BLANK)
        if match := ASSIGNED.fullmatch(stripped):
            values[match["symbol"]] = match["value"].strip(BLANK)
        elif match := UNSET.fullmatch(stripped):
            values[match["symbol"]] = NOT_SET
        elif stripped and not stripped.startswith("#"):
            raise BadInput(
                f"no line of a kernel configuration: {stripped!r}",
                where=f"{where}:{number}",
                hint="CONFIG_NAME=value, or # CONFIG_NAME is not set",
            )
    return values


def read(path: Path) -> dict[str, str]:
    """Symbol → value of a .config that a build left, whatever bytes it holds; BadOutput where it is no plain file, or
    is too large."""
    return parse(text_of(path.parent, path.name), where=".config")


def merge(*fragments: Mapping[str, str]) -> dict[str, str]:
    """All symbols of some fragments; a later fragment wins."""
    return {symbol: value for fragment in fragments for symbol, value in fragment.items()}


def render(values: Mapping[str, str]) -> str:
    """The text of a fragment."""
    return "".join(_line(symbol, value) for symbol, value in values.items())


def apply(text: str, values: Mapping[str, str]) -> str:
    """A .config with some symbols set otherwise; they come last, and no other line speaks of them."""
    kept = []
    for line in text.removesuffix("\n").split("\n"):
        match = ASSIGNED.fullmatch(line.strip(BLANK)) or UNSET.fullmatch(line.strip(BLANK))
        if match is None or match["symbol"] not in values:
            kept.append(line)
    return "\n".join(kept) + "\n" + render(values)


def drift(asked: Mapping[str, str], required: Mapping[str, str], final: Mapping[str, str]) -> tuple[Drift, ...]:
    """The symbols of which the final .config says something else than the fragments, or the requirements, do."""
    wanted = {**asked, **required}
    return tuple(
        Drift(symbol=symbol, asked=value, came=final.get(symbol, NOT_SET))
        for symbol, value in wanted.items()
        if _normal(value) != _normal(final.get(symbol, NOT_SET))
    )


def _normal(value: str) -> str:
    """Quotes, the case of hexadecimal digits and an empty string instead of "not set" make no difference."""
    bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return bare.lower() if re.fullmatch(r"0[xX][0-9a-fA-F]+", bare) else bare or NOT_SET


def _line(symbol: str, value: str) -> str:
    return f"# CONFIG_{symbol} is not set\n" if value == NOT_SET else f"CONFIG_{symbol}={value}\n"
