"""Finished stages on disk: each in a folder named by its digest, published by rename, never changed or replaced after.

cache/vFORMAT/stages/STAGE/DIGEST/result.json         the outcome, and the digest of every output
                                  recipe.json         what decided it
                                  log                 the commands and their output
                                  NAME.manifest.json  what lies in the tree NAME
                                  ...                 the outputs
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from oolong.engine.damage import all_outputs, damage
from oolong.engine.stage import Artifact, Outcome, Stage, StageResult, StageStatus, Tree, TreeArtifact
from oolong.errors import BadOutput, Kind
from oolong.host.budget import LARGEST_FILE
from oolong.host.digest import file_sha256
from oolong.host.filelock import held, held_if_free, shared
from oolong.host.files import (
    linked_tree,
    plain_file,
    plain_folder,
    remove_tree,
    sync_folder,
    sync_system,
    without_rights,
    write_atomically,
    write_json,
)
from oolong.host.layout import Layout
from oolong.host.manifest import FILE, PROGRAM, Entry, entries_of, names_below, parse, render
from oolong.host.statcache import StatCache

RESULT, RECIPE, LOG = "result.json", "recipe.json", "log"
MANIFEST = ".manifest.json"
# ends the label of the lock of work that is kept from other runs
APART = "-apart"


class Store:
    """The published stages of one cache: found, published, discarded. Locks are the caller's to hold."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.stat_cache = StatCache(layout.stat_cache)

    def find(self, stage: Stage) -> StageResult | None:
        """The published result of a stage; None if there is none, or it is of another version of oolong."""
        return read_result(self._place(stage))

    def holds(self, result: StageResult) -> bool:
        """Whether a result is a published one."""
        return result.folder.is_relative_to(self.layout.stages)

    @contextmanager
    def writing(
        self, stage: Stage, *, waiting: Callable[[str], None], check: Callable[[], None], apart: bool = False
    ) -> Iterator[Path]:
        """Hold the lock of a stage alone, with an empty folder in the store's file system: gone afterwards, unless it
        was moved to its place.

        `waiting` hears who holds the lock, and `check` may end the wait by raising. Work that is kept `apart` has its
        own lock: readers of what is published do not wait for it.
        """
        label = _label(stage.name, stage.digest) + (APART if apart else "")
        with held(self.layout.lock(label), waiting=waiting, check=check), self._scratch(label) as folder:
            yield folder

    @contextmanager
    def reading(self, stage: Stage, *, waiting: Callable[[str], None], check: Callable[[], None]) -> Iterator[None]:
        """Hold the lock of a stage with others who read."""
        with shared(self.layout.lock(_label(stage.name, stage.digest)), waiting=waiting, check=check):
            yield

    @contextmanager
    def _scratch(self, label: str) -> Iterator[Path]:
        self.layout.scratch.mkdir(parents=True, exist_ok=True)
        folder = self._beside(label)
        folder.mkdir()
        try:
            yield folder
        finally:
            remove_tree(folder)

    def publish(self, folder: Path, stage: Stage) -> StageResult:
        """Move a finished folder to its place, where nothing is; all of it is on the disk before its name is."""
        place = self._place(stage)
        if place.exists():
            # not a result of this version, or `find` would have found it
            self.remove(place, stage.name, stage.digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        sync_system(folder)
        folder.rename(place)
        sync_folder(place.parent)
        result = self.find(stage)
        assert result
        self._remember_digests(result)
        return result

    def _remember_digests(self, result: StageResult) -> None:
        """Spare the next run the hashing of what was hashed for the manifests."""
        for tree in result.trees.values():
            entries = parse((result.folder / tree.manifest).read_bytes())
            digests = {entry.path: entry.content for entry in entries if entry.kind in (FILE, PROGRAM)}
            self.stat_cache.remember(result.folder / tree.path, digests)

    def discard(self, result: StageResult) -> None:
        """Take a damaged result from its place, unless somebody else did.

        The caller reads it under its lock, and so may others, whose sandboxes have its files mounted: they are removed
        by a later sweep, when nobody reads them.
        """
        self._aside(result.folder, result.stage, result.digest)

    def remove(self, folder: Path, stage: str, digest: str) -> None:
        """Remove the folder of a stage, whose lock the caller holds alone; it vanishes at once, so that no part is
        seen."""
        remove_tree(self._aside(folder, stage, digest))

    def _aside(self, folder: Path, stage: str, digest: str) -> Path:
        self.layout.scratch.mkdir(parents=True, exist_ok=True)
        aside = self._beside(_label(stage, digest))
        with suppress(FileNotFoundError):
            folder.rename(aside)
        return aside

    def twin(self, stage: Stage, content: str) -> StageResult | None:
        """A published success of the same stage that was made from inputs of the same content."""
        try:
            digest = self.layout.twin(stage.name, content).read_text()
        except FileNotFoundError:
            return None
        result = read_result(self.layout.stage(stage.name, digest))
        good = result and result.ok and not damage(result, all_outputs(result), self.stat_cache)
        return result if good else None

    def remember_twin(self, stage: Stage, content: str) -> None:
        """Note which result was made from inputs of a content."""
        write_atomically(self.layout.twin(stage.name, content), stage.digest.encode())

    def sweep(self) -> None:
        """Remove what killed processes left half-made; what another process is making now stays."""
        for left in self.layout.scratch.glob("*"):
            with held_if_free(self.layout.lock(left.name.partition(".")[0])) as ours:
                if ours:
                    remove_tree(left)

    def _place(self, stage: Stage) -> Path:
        return self.layout.stage(stage.name, stage.digest)

    def _beside(self, label: str) -> Path:
        return self.layout.scratch / f"{label}.{uuid4().hex[:8]}"


def finish(folder: Path, stage: Stage, outcome: Outcome, *, seconds: float) -> None:
    """Complete the folder of a stage: manifests of its trees, digests of its files, its recipe and its result.

    What is no declared output is removed, and so are mode bits by which a file runs as its owner or others may write.
    Raises BadOutput where a declared output is not there as a plain file.
    """
    artifacts = {name: _artifact(folder, path) for name, path in outcome.artifacts.items()}
    trees = {}
    for name, tree in outcome.trees.items():
        entries = tree.entries if tree.entries is not None else _entries_alone(plain_folder(folder, tree.path))
        write_atomically(folder / f"{name}{MANIFEST}", render(entries))
        sha256 = file_sha256(folder / f"{name}{MANIFEST}")
        trees[name] = TreeArtifact(path=tree.path, manifest=f"{name}{MANIFEST}", sha256=sha256, entries=len(entries))
    declared = [
        *(artifact.path for artifact in artifacts.values()),
        *(path for tree in trees.values() for path in (tree.path, tree.manifest)),
    ]
    _keep_only(folder, {LOG, *declared})
    without_rights(folder)
    write_json(folder / RECIPE, stage.recipe.as_json())
    result = {
        "stage": stage.name,
        "digest": stage.digest,
        "status": outcome.status,
        "kind": outcome.kind,
        "lines": list(outcome.lines),
        "artifacts": {name: asdict(artifact) for name, artifact in artifacts.items()},
        "trees": {name: asdict(tree) for name, tree in trees.items()},
        "data": dict(outcome.data),
        "keep": outcome.keep,
        "blocks": outcome.blocks,
        "seconds": seconds,
    }
    write_json(folder / RESULT, result)


def link_outputs(twin: StageResult, folder: Path) -> Outcome:
    """Fill `folder` with hard links to what a twin made; published files are never changed, so sharing is safe."""
    linked_tree(twin.folder, folder)
    for own in (RESULT, RECIPE):
        (folder / own).unlink()
    return Outcome(
        status=twin.status,
        kind=twin.kind,
        lines=twin.lines,
        artifacts={name: artifact.path for name, artifact in twin.artifacts.items()},
        trees={name: _known_tree(twin, tree) for name, tree in twin.trees.items()},
        data=twin.data,
    )


def read_result(folder: Path) -> StageResult | None:
    """The result in a folder; None if there is none, or it is damaged or of another version of oolong."""
    try:
        read: dict[str, Any] = json.loads((folder / RESULT).read_bytes())
        read["lines"] = tuple(read["lines"])
        read["status"] = StageStatus(read["status"])
        read["kind"] = Kind(read["kind"]) if read["kind"] else None
        read["artifacts"] = {name: Artifact(**fields) for name, fields in read["artifacts"].items()}
        read["trees"] = {name: TreeArtifact(**fields) for name, fields in read["trees"].items()}
        return StageResult(folder=folder, **read)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _artifact(folder: Path, relative: str) -> Artifact:
    path = plain_file(folder, relative)
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise BadOutput(f"the build left {relative} of more than {LARGEST_FILE >> 20} MiB")
    return Artifact(path=relative, sha256=file_sha256(path), size=size)


def _entries_alone(tree: Path) -> tuple[Entry, ...]:
    """The entries of a tree, which then holds nothing else: pipes and sockets that a build left are removed."""
    entries = entries_of(tree)
    for name in set(names_below(tree)) - {entry.path for entry in entries}:
        (tree / name).unlink()
    return entries


def _known_tree(result: StageResult, tree: TreeArtifact) -> Tree:
    return Tree(path=tree.path, entries=parse((result.folder / tree.manifest).read_bytes()))


def _keep_only(folder: Path, declared: set[str], below: str = "") -> None:
    """Remove what lies in a stage's folder and is neither declared nor on the way to it."""
    for path in list(folder.iterdir()):
        name = f"{below}{path.name}"
        if name in declared:
            continue
        if path.is_dir() and not path.is_symlink():
            if any(one.startswith(f"{name}/") for one in declared):
                _keep_only(path, declared, f"{name}/")
            else:
                remove_tree(path)
        else:
            path.unlink()


def _label(stage: str, digest: str) -> str:
    """The name of the lock of a stage; its folders in the scratch begin with it, so that a sweep asks for that lock."""
    return f"{stage}-{digest}"
