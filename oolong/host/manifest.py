"""A tree of files as a list: what each path is, and the SHA-256 of its bytes or the text of its link."""

import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from oolong.errors import BadOutput
from oolong.host.budget import BUILD, Budget
from oolong.host.digest import file_sha256
from oolong.host.parallel import in_threads

FILE, PROGRAM, LINK, FOLDER = "file", "program", "link", "folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A path of a tree: `path` relative to its top; `content` is a SHA-256, the text of a link, or empty (a folder)."""

    path: str
    kind: str
    content: str


def entries_of(folder: Path) -> tuple[Entry, ...]:
    """Everything below a folder, in order of the paths; what is no file, link or folder is left out. BadOutput if it is
    more than any build leaves."""
    check_size(folder)
    found = in_threads(lambda name: _entry(folder, name), sorted(names_below(folder)))
    return tuple(entry for entry in found if entry)


def with_folders(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Files and links with the folders that they lie in, in order of the paths."""
    found = {entry.path: entry for entry in entries}
    for path in list(found):
        for parent in map(str, PurePosixPath(path).parents):
            if parent != "." and parent not in found:
                found[parent] = Entry(path=parent, kind=FOLDER, content="")
    return tuple(found[path] for path in sorted(found))


def render(entries: Iterable[Entry]) -> bytes:
    """The manifest's text: equal trees have equal manifests, whatever machine or order they come from."""
    lines = (
        f"  [\n    {json.dumps(entry.path)},\n    {json.dumps(entry.kind)},\n    {json.dumps(entry.content)}\n  ]"
        for entry in entries
    )
    body = ",\n".join(lines)
    return f"[\n{body}\n]\n".encode() if body else b"[]\n"


def parse(manifest: bytes) -> tuple[Entry, ...]:
    """The entries of a manifest that `render` wrote."""
    return tuple(Entry(path=path, kind=kind, content=content) for path, kind, content in json.loads(manifest))


def check_size(folder: Path, budget: Budget = BUILD) -> None:
    """BadOutput for a folder that is too deep to walk, cannot be read, holds too many names, or files that are too
    large to hash; a hole is hashed like the rest of its file."""
    entries = size = 0
    waiting = [(os.fspath(folder), 0)]
    while waiting:
        place, depth = waiting.pop()
        if depth > budget.depth:
            raise BadOutput(f"the build left folders more than {budget.depth} deep")
        try:
            with os.scandir(place) as found:
                for entry in found:
                    entries += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            raise BadOutput(f"the build left {os.path.relpath(place, folder)}: {error.strerror}") from error
        if entries > budget.entries:
            raise BadOutput(f"the build left more than {budget.entries} files")
        if size > budget.size:
            raise BadOutput(f"the build left files of more than {budget.size >> 20} MiB")


def names_below(folder: Path) -> Iterator[str]:
    """The path of everything below a folder, relative to it."""
    for top, folders, files in os.walk(folder):
        below = os.path.relpath(top, folder)
        yield from (name if below == "." else f"{below}/{name}" for name in (*folders, *files))


def _entry(folder: Path, name: str) -> Entry | None:
    path = os.path.join(folder, name)
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return Entry(path=name, kind=LINK, content=os.readlink(path))
    if stat.S_ISDIR(mode):
        return Entry(path=name, kind=FOLDER, content="")
    if stat.S_ISREG(mode):
        return Entry(path=name, kind=PROGRAM if mode & 0o111 else FILE, content=file_sha256(Path(path)))
    return None
