"""toolchains/NAME.lock and pipeline.lock: every package that the names resolve to, by version and SHA-256.

JSON with one package a line, so that a diff shows what changed.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from oolong.errors import BadInput
from oolong.host.digest import digest_of, files_digest
from oolong.host.files import remove_tree, write_atomically
from oolong.host.layout import Layout
from oolong.spec.model import DebianSource, GitSource, Package, Toolchain

RELOCK = "./doit lock resolves all packages again and rewrites the locks"
AGAIN = "remove what is wrong; ./doit record victims=1 writes it anew"
INSTEAD_OF = "instead-of"
# characters of a line of names
WIDEST = 120
SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# what is recorded of a build, by the stage that makes it: the objects, and the kernel that was linked from them
RECORDED = {"compile": "vmlinux.o", "link": "vmlinux"}
FIELDS = frozenset(field.name for field in dataclasses.fields(Package))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a toolchain or a source resolves to: packages, or a commit. `asked` is the digest of what was asked for, so
    that a lock that no longer fits its YAML is noticed."""

    name: str
    asked: str
    packages: tuple[Package, ...] = ()
    commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a build once came to, for every machine to compare with: the SHA-256 of `artifacts` by name, and `inputs`,
    a digest of the content of all that its objects were compiled from."""

    inputs: str
    artifacts: Mapping[str, str]


# check → what explains its findings, or what they say → for whom it did not hold, sorted
Victims = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedVictims:
    """For whom the checks of a cell once did not hold, known issues included: `sha256` of the names, which are `names`
    where they are there; `inputs` as in Recorded."""

    inputs: str
    sha256: str
    names: Victims | None = None


def asked_by_toolchain(toolchain: Toolchain) -> str:
    """The digest of the part of a toolchain that decides its packages."""
    return digest_of([list(toolchain.suites), sorted(toolchain.packages), sorted(toolchain.without)])


def asked_by_source(source: DebianSource | GitSource) -> str:
    """The digest of what a kernel source asks for."""
    if isinstance(source, GitSource):
        return digest_of([source.url, source.ref])
    return digest_of([source.suite, source.package])


def read_toolchain(layout: Layout, toolchain: Toolchain) -> Lock:
    """The lock of a toolchain; BadInput if it is missing, malformed, or made for something else."""
    if toolchain.tarball:
        # the digest in its YAML is its lock
        return Lock(name=toolchain.name, asked=asked_by_toolchain(toolchain))
    path = layout.toolchain_lock(toolchain.name)
    return _checked(_load(path), toolchain.name, asked_by_toolchain(toolchain), path)


def read_source(layout: Layout, source: DebianSource | GitSource) -> Lock:
    """The lock of a kernel source, from pipeline.lock."""
    path = layout.pipeline_lock
    sources = _load(path).get("sources")
    if not isinstance(sources, dict) or source.name not in sources:
        raise BadInput(f"nothing is locked for the source {source.name!r}", where=path.name, hint=RELOCK)
    return _checked(sources[source.name], source.name, asked_by_source(source), path)


def write_toolchain(layout: Layout, lock: Lock) -> None:
    """Write toolchains/NAME.lock."""
    write_atomically(layout.toolchain_lock(lock.name), _rendered(_fields(lock)))


def write_sources(layout: Layout, locks: Sequence[Lock], *, known: Collection[str]) -> None:
    """Write the sources of pipeline.lock; those that are there already stay, if their names are still `known`."""
    path = layout.pipeline_lock
    before = _load(path) if path.exists() else {}
    kept = {name: value for name, value in (before.get("sources") or {}).items() if name in known}
    sources = {**kept, **{lock.name: _fields(lock) for lock in locks}}
    write_atomically(path, _rendered({**before, "sources": sources}))


def read_recorded(layout: Layout) -> dict[str, Recorded]:
    """The recorded artifacts of builds in pipeline.lock, by name."""
    if not layout.recorded.exists():
        return {}
    found = _load(layout.recorded).get("artifacts", {})
    try:
        return {
            name: Recorded(inputs=value["inputs"], artifacts=dict(value["sha256"])) for name, value in found.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        what = "its `artifacts` are malformed"
        raise BadInput(what, where=layout.recorded.name, hint="./doit record writes them anew") from None


def write_recorded(layout: Layout, recorded: Mapping[str, Recorded]) -> None:
    """Write the artifacts of some builds to pipeline.lock; those of others stay."""
    before = _load(layout.recorded) if layout.recorded.exists() else {}
    fields = {name: {"inputs": one.inputs, "sha256": dict(one.artifacts)} for name, one in recorded.items()}
    write_atomically(layout.recorded, _rendered({**before, "artifacts": {**before.get("artifacts", {}), **fields}}))


def read_victims(layout: Layout) -> dict[str, RecordedVictims]:
    """The recorded victims of cells, by name: the digests of pipeline.lock, with the names of pipeline.victims where
    these are the ones that the digest is of."""
    if not layout.recorded.exists():
        return {}
    found = _load(layout.recorded).get("victims", {})
    names = _load(layout.victims, hint=AGAIN) if layout.victims.exists() else {}
    try:
        return {
            cell: RecordedVictims(
                inputs=value["inputs"],
                sha256=value["sha256"],
                names=names[cell] if cell in names and digest_of(names[cell]) == value["sha256"] else None,
            )
            for cell, value in found.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadInput("its `victims` are malformed", where=layout.recorded.name, hint=AGAIN) from None


def write_victims(layout: Layout, recorded: Mapping[str, RecordedVictims]) -> None:
    """Write the victims of some cells to pipeline.lock, their names to pipeline.victims; those of others stay."""
    before = _load(layout.recorded) if layout.recorded.exists() else {}
    fields = {cell: {"inputs": one.inputs, "sha256": one.sha256} for cell, one in recorded.items()}
    names = {cell: one.names for cell, one in recorded.items() if one.names is not None}
    others = _load(layout.victims, hint=AGAIN) if layout.victims.exists() else {}
    write_atomically(layout.victims, _wrapped({**others, **names}))
    write_atomically(layout.recorded, _rendered({**before, "victims": {**before.get("victims", {}), **fields}}))


def standing_in(layout: Layout) -> Layout:
    """The layout with the temporary locks of build/, if there are any and they stand in for the locks as they are."""
    folder = layout.unlocked
    try:
        current = (folder / INSTEAD_OF).read_text() == _digest_of_locks(layout)
    except FileNotFoundError:
        return layout
    return dataclasses.replace(layout, temporary_locks=folder) if current else layout


def stand_in(layout: Layout, write: Callable[[Layout], None]) -> None:
    """Make temporary locks for the ones of the checkout: `write` puts them where the layout that it is given says."""
    remove_tree(layout.unlocked)
    write(dataclasses.replace(layout, temporary_locks=layout.unlocked))
    write_atomically(layout.unlocked / INSTEAD_OF, _digest_of_locks(layout).encode())


def _digest_of_locks(layout: Layout) -> str:
    locks = [layout.pipeline_lock, *layout.toolchain_lock("").parent.glob("*.lock")]
    return files_digest((path for path in locks if path.exists()), relative_to=layout.checkout)


def merge(locks: Sequence[Lock]) -> tuple[Package, ...]:
    """The packages of several locks as one root file system, in order of their names.

    BadInput if two locks have one package in two versions: half of each would be unpacked over the other.
    """
    found: dict[tuple[str, str], tuple[Package, str]] = {}
    for lock in locks:
        for package in lock.packages:
            other, by = found.setdefault((package.name, package.arch), (package, lock.name))
            if other.sha256 != package.sha256:
                raise BadInput(
                    f"{lock.name} has {package.name} {package.version}, {by} has {other.version}",
                    where=f"toolchains/{lock.name}.lock",
                    hint=RELOCK,
                )
    return tuple(found[key][0] for key in sorted(found))


def _fields(lock: Lock) -> dict[str, Any]:
    if lock.commit:
        return {"asked": lock.asked, "commit": lock.commit}
    packages = sorted(lock.packages, key=lambda package: (package.name, package.arch))
    return {"asked": lock.asked, "packages": [dataclasses.asdict(package) for package in packages]}


def _rendered(value: Mapping[str, Any]) -> bytes:
    """Indented JSON in which a package is one line."""
    packages: list[str] = []

    def fold(part: Any) -> Any:
        if isinstance(part, dict) and part.keys() == FIELDS:
            packages.append(json.dumps(part, sort_keys=True))
            return f"@{len(packages) - 1}@"
        if isinstance(part, dict):
            return {key: fold(inner) for key, inner in part.items()}
        return [fold(inner) for inner in part] if isinstance(part, list) else part

    text = json.dumps(fold(value), indent=1, sort_keys=True)
    return (re.sub(r'"@(\d+)@"', lambda match: packages[int(match[1])], text) + "\n").encode()


def _wrapped(value: Any) -> bytes:
    """Indented JSON in which lists of names are wrapped, so that a new name is a change of one line or few."""
    lines: list[str] = []

    def put(part: Any, before: str, after: str, depth: int) -> None:
        if isinstance(part, Mapping):
            lines.append(f"{' ' * depth}{before}{{")
            last = len(part) - 1
            for number, key in enumerate(sorted(part)):
                put(part[key], f"{json.dumps(key)}: ", "," if number < last else "", depth + 1)
            lines.append(f"{' ' * depth}}}{after}")
            return
        lines.append(f"{' ' * depth}{before}[")
        row = ""
        for number, name in enumerate(part):
            word = json.dumps(name) + ("," if number < len(part) - 1 else "")
            if row and depth + len(row) + len(word) + 2 > WIDEST:
                lines.append(f"{' ' * depth} {row}")
                row = ""
            row += f" {word}" if row else word
        lines.append(f"{' ' * depth} {row}")
        lines.append(f"{' ' * depth}]{after}")

    put(value, "", "", 0)
    return ("\n".join(lines) + "\n").encode()


def _load(path: Path, *, hint: str = RELOCK) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput("this lock is missing", where=path.name, hint=hint) from None
    except ValueError as error:
        raise BadInput(f"this is not JSON: {error}", where=path.name, hint=hint) from error
    if not isinstance(value, dict):
        raise BadInput("this lock is not a mapping", where=path.name, hint=hint)
    return value


def _checked(value: Any, name: str, asked: str, path: Path) -> Lock:
    if not isinstance(value, dict) or isinstance(value.get("packages"), list) == ("commit" in value):
        raise BadInput(f"the lock of {name!r} holds neither packages nor a commit", where=path.name, hint=RELOCK)
    if value.get("asked") != asked:
        raise BadInput(f"the lock of {name!r} was made for something else", where=path.name, hint=RELOCK)
    if "commit" in value:
        if not COMMIT.fullmatch(str(value["commit"])):
            raise BadInput(f"the lock of {name!r} holds no commit", where=path.name, hint=RELOCK)
        return Lock(name=name, asked=asked, commit=value["commit"])
    return Lock(name=name, asked=asked, packages=tuple(_package(fields, path) for fields in value["packages"]))


def _package(fields: Any, path: Path) -> Package:
    if not isinstance(fields, dict) or fields.keys() != FIELDS:
        raise BadInput(f"a package needs exactly {', '.join(sorted(FIELDS))}", where=path.name, hint=RELOCK)
    good = (
        all(isinstance(fields[key], str) for key in FIELDS - {"size"})
        and isinstance(fields["size"], int)
        and fields["size"] >= 0
        and SHA256.fullmatch(fields["sha256"])
        and _stays_inside(fields["path"])
    )
    if not good:
        raise BadInput(f"a package's fields are wrong: {json.dumps(fields)}", where=path.name, hint=RELOCK)
    return Package(**fields)


def _stays_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts
