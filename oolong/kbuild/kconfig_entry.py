"""The entries of one Kconfig file, as far as their dependencies go (pure): what an entry depends on, and what of it is
redundant.

Source: Documentation/kbuild/kconfig-language.rst.
"""

import re
from collections.abc import Iterator
from itertools import chain, permutations

ENTRY = re.compile(r"(?:menu)?config\s+(?P<symbol>\w+)$")
DEPENDS = re.compile(r"depends on\s+(?P<expression>.+)")
DEFAULT = re.compile(r"(?:def_bool|default)\s+(?P<value>.+)")
IF = re.compile(r"\sif\s")
SYMBOL = re.compile(r"\w+")
CONTINUED = re.compile(r"\\\n\s*")
DEPTH = {"(": 1, ")": -1}
# what a condition that always holds looks like
ALWAYS = frozenset(("y", "n"))


def conditions(kconfig: str, symbol: str) -> list[list[str]]:
    """What must hold for an entry, a list for each of its lines: the parts that `&&` joins. Empty without an entry."""
    return [_joined(line) for line in _expressions(kconfig, symbol)]


def redundant(kconfig: str, symbol: str) -> list[tuple[str, str]]:
    """The parts of an entry's conditions that say nothing new, with the reason: what stands in `depends on` and again
    in another line, or what another part of the conditions depends on."""
    parts = list(chain.from_iterable(conditions(kconfig, symbol)))
    twice = [part for part in dict.fromkeys(parts) if parts.count(part) > 1]
    found = [(part, "stands there twice") for part in twice]
    found += [
        (part, f"{other} depends on it")
        for part, other in permutations(dict.fromkeys(parts), 2)
        if SYMBOL.fullmatch(other) and part in _depends(kconfig, other)
    ]
    return found


def _depends(kconfig: str, symbol: str) -> set[str]:
    """What an entry depends on in every case."""
    matches = filter(None, map(DEPENDS.match, _lines(kconfig, symbol)))
    return set(chain.from_iterable(_joined(match["expression"]) for match in matches))


def _expressions(kconfig: str, symbol: str) -> Iterator[str]:
    """The conditions of an entry as they are written; several defaults are several cases, and only the first counts."""
    defaults = 0
    for line in _lines(kconfig, symbol):
        if match := DEPENDS.match(line):
            yield match["expression"]
        elif (match := DEFAULT.match(line)) and not defaults:
            defaults += 1
            yield from (part.strip() for part in IF.split(match["value"], maxsplit=1))


def _lines(kconfig: str, symbol: str) -> Iterator[str]:
    """The lines of an entry, up to its help."""
    inside = False
    for line in CONTINUED.sub(" ", kconfig).split("\n"):
        stripped = line.partition("#")[0].strip()
        if line[:1].strip() and not line.startswith("#"):
            match = ENTRY.match(stripped)
            inside = match is not None and match["symbol"] == symbol
        elif inside and stripped == "help":
            inside = False
        elif inside and stripped:
            yield stripped


def _joined(expression: str) -> list[str]:
    """The parts that && joins outside all parentheses."""
    parts: list[list[str]] = [[]]
    depth = 0
    for piece in re.split(r"(&&|[()])", expression):
        if piece in DEPTH:
            depth += DEPTH[piece]
        if piece == "&&" and depth == 0:
            parts.append([])
        else:
            parts[-1].append(piece)
    found = ("".join(part).strip() for part in parts)
    return [part for part in found if part and part not in ALWAYS]
