"""Whether an output in the cache is what was published: a disk may flip a bit, a person may tidy up.

Files are hashed whole. Trees are compared with their manifests, name by name; of them only the files whose size, times
or inode changed since they were hashed last are read again.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from oolong.engine.stage import DATA, Artifact, StageResult, TreeArtifact
from oolong.host.digest import file_sha256
from oolong.host.manifest import FILE, FOLDER, LINK, PROGRAM, Entry, names_below, parse
from oolong.host.parallel import in_threads
from oolong.host.statcache import KnownDigests, StatCache


def damage(result: StageResult, outputs: Iterable[str], cache: StatCache) -> str | None:
    """The first path of some outputs of a stage that is missing, new or changed; None if all is well."""
    for output in outputs:
        if output == DATA or not output:
            continue
        if output in result.artifacts:
            found = _of_file(result, result.artifacts[output])
        elif output in result.trees:
            found = _of_tree(result, result.trees[output], cache)
        else:
            continue  # a failed stage lacks outputs, and its users are blocked
        if found:
            return found
    return None


def _of_file(result: StageResult, artifact: Artifact) -> str | None:
    path = result.folder / artifact.path
    good = path.is_file() and path.stat().st_size == artifact.size and file_sha256(path) == artifact.sha256
    return None if good else str(path)


def _of_tree(result: StageResult, tree: TreeArtifact, cache: StatCache) -> str | None:
    manifest = result.folder / tree.manifest
    if not manifest.is_file() or file_sha256(manifest) != tree.sha256:
        return str(manifest)
    folder = result.folder / tree.path
    described = {entry.path: entry for entry in parse(manifest.read_bytes())}
    if unlike := set(names_below(folder)) ^ described.keys():
        return str(folder / min(unlike))
    with cache.of(folder) as known:
        same = in_threads(lambda entry: _is_same(folder, entry, known), list(described.values()))
    return next((str(folder / path) for path, good in zip(described, same, strict=True) if not good), None)


def _is_same(folder: Path, entry: Entry, known: KnownDigests) -> bool:
    # by text: a Path more for each of 100,000 files takes longer than to look at them
    path = os.path.join(folder, entry.path)
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return entry.kind == LINK and os.readlink(path) == entry.content
    if stat.S_ISDIR(status.st_mode):
        return entry.kind == FOLDER
    kind = PROGRAM if status.st_mode & 0o111 else FILE
    return (
        stat.S_ISREG(status.st_mode) and entry.kind == kind and known.sha256(path, entry.path, status) == entry.content
    )


def all_outputs(result: StageResult) -> tuple[str, ...]:
    """The names of all files and trees of a stage."""
    outputs: Mapping[str, object] = {**result.artifacts, **result.trees}
    return tuple(outputs)
