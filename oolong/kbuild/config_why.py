"""Why a symbol of a kernel configuration is not set: its conditions, read from the tree's Kconfig files.

A reading good enough for a message: conditions of enclosing `if`s, `depends on` and the defaults of symbols that
nobody can choose. What takes a program to know (`$(success,...)`) is shown as it stands.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from oolong.host.files import LARGEST_TEXT
from oolong.kbuild.config import NOT_SET, Drift

DEPTH = 4
TOKEN = re.compile(r"\$\([^()]*(?:\([^()]*\)[^()]*)*\)|&&|\|\||!=|[!()=<>]+|\"[^\"]*\"|[\w.-]+")
WORD = re.compile(r"[A-Z0-9_]+")
COMPARISONS = ("=", "!=", "<", ">", "<=", ">=")


@dataclass
class _Definition:
    """One `config` block: where it stands, all that it depends on, the defaults of a symbol without a prompt."""

    where: str
    depends: list[str]
    defaults: list[str] = field(default_factory=list)
    prompt: bool = False


def explain(tree: Path, drifts: Sequence[Drift], final: Mapping[str, str]) -> tuple[Drift, ...]:
    """The drifts with the conditions that the final configuration does not meet."""
    definitions = _definitions(tree)
    return tuple(
        replace(one, why=tuple(_why(one.symbol, definitions, final, DEPTH, set())))
        if one.came == NOT_SET and one.asked != NOT_SET
        else one
        for one in drifts
    )


def _why(
    symbol: str,
    definitions: Mapping[str, list[_Definition]],
    final: Mapping[str, str],
    depth: int,
    seen: set[str],
) -> Iterator[str]:
    seen.add(symbol)
    if symbol not in definitions:
        yield f"{symbol} is in no Kconfig file of this tree"
        return
    for definition in definitions[symbol]:
        conditions = [*definition.depends, *([] if definition.prompt else definition.defaults)]
        for condition in conditions:
            unmet = [word for word in _unmet(condition, final) if word not in seen]
            if not unmet and "$(" not in condition:
                continue
            yield f"{symbol} needs {condition} ({definition.where})"
            for word in unmet:
                yield f"{word} is not set"
                if depth > 0:
                    yield from _why(word, definitions, final, depth - 1, seen)


def _unmet(condition: str, final: Mapping[str, str]) -> list[str]:
    """The symbols that must be set for a condition to hold, and are not; none if it holds already."""
    tokens = TOKEN.findall(condition)
    missing: dict[str, None] = {}
    for index, token in enumerate(tokens):
        negated = index > 0 and tokens[index - 1].endswith("!")
        compared = any(near in COMPARISONS for near in tokens[max(0, index - 1) : index + 2])
        symbol = WORD.fullmatch(token) and not token.isdigit()
        if symbol and not negated and not compared and final.get(token, NOT_SET) == NOT_SET:
            missing[token] = None
    alternatives = [condition] if "(" in condition else condition.split("||")
    holds = any(all(word not in missing for word in TOKEN.findall(part)) for part in alternatives)
    return [] if holds and "$(" not in condition else list(missing)


def _definitions(tree: Path) -> dict[str, list[_Definition]]:
    found: dict[str, list[_Definition]] = {}
    for path in sorted(tree.rglob("Kconfig*")):
        parts = path.relative_to(tree).parts
        # a link may lead out of a tree that nobody vouches for
        inside = path.resolve().is_relative_to(tree.resolve())
        readable = inside and path.is_file() and path.stat().st_size <= LARGEST_TEXT
        if readable and (parts[0] != "arch" or parts[1] in ("powerpc", "Kconfig")):
            _read(path, path.relative_to(tree).as_posix(), found)
    return found


def _read(path: Path, name: str, found: dict[str, list[_Definition]]) -> None:
    """Add the definitions of one file."""
    blocks: list[tuple[str, list[str]]] = []
    current: _Definition | None = None
    in_help = False
    for number, line in enumerate(_joined(path), start=1):
        if not line.strip():
            continue
        if in_help and line[:1] in " \t":
            continue
        in_help = False
        word, _, rest = line.strip().partition(" ")
        rest = rest.split(" #")[0].strip()
        if word in ("config", "menuconfig"):
            current = _Definition(where=f"{name}:{number}", depends=[one for _, part in blocks for one in part])
            found.setdefault(rest, []).append(current)
        elif word in ("if", "menu", "choice"):
            blocks.append((word, [rest] if word == "if" else []))
            current = None
        elif word in ("endif", "endmenu", "endchoice"):
            if blocks:
                blocks.pop()
            current = None
        elif word == "depends" and rest.startswith("on "):
            if current:
                current.depends.append(rest[3:])
            elif blocks:
                blocks[-1][1].append(rest[3:])
        elif word in ("def_bool", "def_tristate", "default") and current and rest not in ("y", "n", "m"):
            current.defaults.append(rest)
        elif word in ("bool", "tristate", "int", "hex", "string", "prompt") and current and rest:
            current.prompt = True
        elif word in ("help", "---help---"):
            in_help = True


def _joined(path: Path) -> Iterator[str]:
    """The lines of a file; one that goes on after a backslash is one line, and the numbers stay right."""
    pending, owed = "", 0
    for line in path.read_bytes().decode(errors="replace").split("\n"):
        if line.endswith("\\"):
            pending += line[:-1] + " "
            owed += 1
            continue
        yield pending + line
        yield from [""] * owed
        pending, owed = "", 0
