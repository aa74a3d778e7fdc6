"""Whether what lies in the cache still is what was put there: a disk may flip a bit, a person may tidy up.

Artifacts are hashed whole each time. Trees (root file systems, sources) are compared with their manifests, name by
name; of them only the files whose size, times or inode changed since they were hashed last are read again.
"""

import json
import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oolong.engine.stage import StageResult
from oolong.host.digest import file_sha256
from oolong.host.layout import Layout
from oolong.host.statcache import Known, StatCache

LINK, FOLDER = "link", "folder"
# stage -> (the folder that is described, the artifact that describes it)
TREES = {"rootfs": ("root", "manifest"), "source": ("tree", "content")}

# what a path is and its SHA-256 or link text
Described = Mapping[str, tuple[str, str]]


def damage(result: StageResult, layout: Layout, *, trees: bool) -> str | None:
    """The first path of a stage that is missing, new or other than it was; None if all is well."""
    for artifact in result.artifacts.values():
        path = result.folder / artifact.path
        if not path.is_file() or file_sha256(path) != artifact.sha256:
            return str(path)
    if not trees or result.stage not in TREES or not result.ok:
        return None
    name, manifest = TREES[result.stage]
    return _damage_of_tree(result.folder / name, _described(result, manifest), StatCache(layout.stat_cache))


def _described(result: StageResult, artifact: str) -> Described:
    path = result.path(artifact)
    if result.stage == "rootfs":
        entries: list[list[str]] = json.loads(path.read_bytes())
        return {name: (kind, content) for name, kind, content in entries if kind != FOLDER}
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    split = (line.split(" ", 2) for line in lines if line)
    return {name: (kind, content) for kind, content, name in split}


def _damage_of_tree(folder: Path, described: Described, cache: StatCache) -> str | None:
    found = set(_names(folder))
    if unlike := found ^ described.keys():
        return str(folder / min(unlike))
    with cache.of(folder) as known, ThreadPoolExecutor() as pool:
        same = pool.map(lambda name: _is_same(folder / name, name, described[name], known), described)
        return next((str(folder / name) for name, good in zip(described, same, strict=True) if not good), None)


def _is_same(path: Path, name: str, described: tuple[str, str], known: Known) -> bool:
    kind, content = described
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return kind == LINK and os.readlink(path) == content
    return kind != LINK and stat.S_ISREG(status.st_mode) and known.sha256(path, name, status) == content


def _names(folder: Path) -> list[str]:
    names = []
    for top, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(top, name))]
        below = os.path.relpath(top, folder)
        names += [name if below == "." else f"{below}/{name}" for name in (*files, *links)]
    return names
