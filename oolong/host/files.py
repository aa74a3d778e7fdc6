"""Files written whole or not at all, folders removed whatever is in them, and files that untrusted code left."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from oolong.errors import BadOutput


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside, then os.replace: readers see the old bytes or the new ones, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Indented, sorted JSON, written atomically."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, also where parts of it are read-only; nothing if it is not there."""

    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:
        folder.chmod(0o700)
        for top, folders, _ in os.walk(folder):
            for name in folders:
                if not (path := Path(top, name)).is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(folder)


def plain_file(folder: Path, relative: str) -> Path:
    """A file that untrusted code may have made below `folder`, if it is one; BadOutput for a link, a pipe, or nothing.

    Whoever reads or writes what a build left must ask here: a link would lead out of the sandbox after all.
    """
    path = folder / relative
    if path.resolve() != folder.resolve() / relative or not path.is_file():
        raise BadOutput(f"the build left no plain file {relative}")
    return path


def text_of(folder: Path, relative: str) -> str:
    """The text of such a file, whatever bytes it holds."""
    return plain_file(folder, relative).read_text(encoding="utf-8", errors="replace")
