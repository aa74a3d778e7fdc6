"""tests/museum/ID/exhibit.yaml → what a past fault was, how it is brought back, and which checks must name it.

The folder holds all that an exhibit needs: patches, fragments of a configuration, and in `files/` what replaces files
of the small kernel.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from oolong.audit import catalogue
from oolong.errors import BadInput, did_you_mean
from oolong.host.layout import Layout
from oolong.spec import yamlfile
from oolong.spec.model import Endian
from oolong.spec.yamlfile import Value

FILE, FILES = "exhibit.yaml", "files"
REQUIRED = ("what", "commit", "kernels", "story", "tree", "caught_by")
OPTIONAL = ("endians", "toolchain", "config", "fragments", "patches", "upto", "holds", "alone")
TOOLCHAIN, CONFIG = "gcc-14", "minimal"
WHOLE, AMONG = "whole", "among"
Parsed = TypeVar("Parsed")


class Tree(StrEnum):
    """The kernel that the fault is put into: the one of the pipeline, or one of eight functions."""

    PIPELINE = "pipeline"
    SMALL = "small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A check that must not hold. Each of `victims`, which are globs, must match a victim of it; where they are all
    (`exactly`), each of its victims must match one. Without victims, only that it does not hold counts."""

    check: str
    victims: tuple[str, ...]
    exactly: bool

    def names(self, found: Iterable[str]) -> bool:
        """Whether these are the victims that the check must have."""
        there = tuple(found)
        missed = [glob for glob in self.victims if not any(fnmatchcase(one, glob) for one in there)]
        others = [one for one in there if not any(fnmatchcase(one, glob) for glob in self.victims)]
        return not missed and not (self.exactly and others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One past fault. `what`, `commit`, `kernels` and `story` are for people. It is made in a cell for each of
    `endians`, up to the stage `upto`, or whole. `holds` are checks that must hold, though the fault is there; where
    it is caught `alone`, no other check fails."""

    id: str
    folder: Path
    what: str
    commit: str
    kernels: str
    story: str
    tree: Tree
    endians: tuple[Endian, ...]
    toolchain: str
    config: str
    fragments: tuple[Path, ...]
    patches: tuple[Path, ...]
    upto: str | None
    caught_by: tuple[Expected, ...]
    holds: tuple[str, ...]
    alone: bool

    @property
    def needs_kernel(self) -> bool:
        return self.tree is Tree.PIPELINE

    @property
    def files(self) -> Path:
        """What replaces files of the small kernel; it need not exist."""
        return self.folder / FILES


def ids(layout: Layout) -> tuple[str, ...]:
    """The names of all exhibits, in order."""
    if not layout.museum.is_dir():
        raise BadInput("there is no museum in this checkout", where=str(layout.museum))
    return tuple(sorted(path.parent.name for path in layout.museum.glob(f"*/{FILE}")))


def chosen(layout: Layout, names: str | None) -> tuple[Exhibit, ...]:
    """The exhibits of `ID[,ID…]`, or all; BadInput with the nearest id for one that does not exist."""
    every = ids(layout)
    wanted = every if names is None else tuple(dict.fromkeys(names.split(",")))
    for name in wanted:
        if name not in every:
            raise BadInput(f"no exhibit has the id {name!r}", where="id=", hint=did_you_mean(name, every))
    return tuple(read(layout.museum / name) for name in wanted)


def read(folder: Path) -> Exhibit:
    """The exhibit of a folder; BadInput for one that is not as it must be."""
    file = f"{folder.name}/{FILE}"
    fields = yamlfile.load(folder / FILE, file=file).fields(required=REQUIRED, optional=OPTIONAL)
    tree = Tree(fields["tree"].choice(Tree, "tree"))
    if tree is Tree.PIPELINE and (folder / FILES).exists():
        fields["tree"].fail(f"{FILES}/ replaces files of the small kernel alone", "write a patch")
    return Exhibit(
        id=folder.name,
        folder=folder,
        what=fields["what"].text(),
        commit=fields["commit"].text(),
        kernels=fields["kernels"].text(),
        story=fields["story"].text(),
        tree=tree,
        endians=_items(fields.get("endians"), _endian, (Endian.LE,)),
        toolchain=fields["toolchain"].text() if "toolchain" in fields else TOOLCHAIN,
        config=fields["config"].text() if "config" in fields else CONFIG,
        fragments=_items(fields.get("fragments"), lambda value: _file(value, folder), ()),
        patches=_items(fields.get("patches"), lambda value: _file(value, folder), ()),
        upto=fields["upto"].text() if "upto" in fields else None,
        caught_by=_caught_by(fields["caught_by"]),
        holds=_items(fields.get("holds"), _check, ()),
        alone="alone" in fields and fields["alone"].flag(),
    )


def _caught_by(value: Value) -> tuple[Expected, ...]:
    found = tuple(_expected(_check(key), victims) for key, victims in value.entries())
    if not found:
        value.fail("must name a check")
    return found


def _expected(check: str, value: Value) -> Expected:
    if value.is_list:
        return Expected(check=check, victims=_globs(value), exactly=True)
    if value.is_mapping:
        among = value.fields(required=(AMONG,))[AMONG]
        return Expected(check=check, victims=_globs(among), exactly=False)
    value.choice((WHOLE,), "finding")
    return Expected(check=check, victims=(), exactly=False)


def _globs(value: Value) -> tuple[str, ...]:
    found = tuple(item.text() for item in value.items())
    if not found:
        value.fail("must name a victim")
    return found


def _check(value: Value) -> str:
    return value.choice(catalogue.entries(), "check")


def _endian(value: Value) -> Endian:
    return Endian(value.choice(Endian, "endian"))


def _file(value: Value, folder: Path) -> Path:
    path = folder / value.text()
    if not path.is_file():
        value.fail(f"no such file {value.text()!r}", did_you_mean(value.text(), (one.name for one in folder.iterdir())))
    return path


def _items(value: Value | None, parsed: Callable[[Value], Parsed], usual: tuple[Parsed, ...]) -> tuple[Parsed, ...]:
    return usual if value is None else tuple(parsed(item) for item in value.items())
