"""Remembers the digests of files by their size, times and inode, so that an unchanged tree is not read again."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from oolong.host.digest import file_sha256

# a file that changed this shortly before it was read may change again without a new time
SETTLED_NANOSECONDS = 2_000_000_000
SCHEMA = (
    "create table if not exists files (tree blob, name blob, size int, mtime int, ctime int, inode int, sha256 text,"
    " primary key (tree, name)) without rowid"
)

# size, mtime, ctime, inode
Signature = tuple[int, ...]


class KnownDigests:
    """What is known of one tree; asked from several threads."""

    def __init__(self, rows: dict[str, tuple[Signature, str]]) -> None:
        self._rows = rows
        self.learnt: dict[str, tuple[Signature, str]] = {}

    def sha256(self, path: str | Path, name: str, status: os.stat_result) -> str:
        """The digest of a file whose lstat is `status`; read only if it is not known or has changed."""
        signature = _signature(status)
        found = self._rows.get(name)
        if found and found[0] == signature:
            return found[1]
        digest = file_sha256(Path(path))
        if status.st_ctime_ns < time.time_ns() - SETTLED_NANOSECONDS:
            self.learnt[name] = (signature, digest)
        return digest


class StatCache:
    """The remembered digests of all trees, in one sqlite file that may be lost at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def of(self, tree: Path) -> Iterator[KnownDigests]:
        """What is known of a tree; what is learnt is written at the end. Where that cannot be done, on a full or
        read-only disk, files are read instead."""
        try:
            rows = self._rows(tree)
        except (OSError, sqlite3.Error):
            rows = {}
        known = KnownDigests(rows)
        yield known
        if known.learnt:
            with suppress(OSError, sqlite3.Error):
                self._learn(tree, known.learnt)

    def remember(self, tree: Path, digests: Mapping[str, str]) -> None:
        """Note the digests of files, by name, that were hashed as nobody could change them: a tree of our own, before
        it was published. Where they cannot be noted they are read again."""
        with suppress(OSError, sqlite3.Error):
            signed = {name: (_signature(os.lstat(os.path.join(tree, name))), sha) for name, sha in digests.items()}
            self._learn(tree, signed)

    def _rows(self, tree: Path) -> dict[str, tuple[Signature, str]]:
        query = "select name, size, mtime, ctime, inode, sha256 from files where tree = ?"
        with self._opened() as connection:
            rows = connection.execute(query, (_key(tree),))
            return {os.fsdecode(name): (tuple(signature), sha) for name, *signature, sha in rows}

    def _learn(self, tree: Path, learnt: dict[str, tuple[Signature, str]]) -> None:
        with self._opened() as connection:
            connection.executemany(
                "insert or replace into files values (?, ?, ?, ?, ?, ?, ?)",
                ((_key(tree), os.fsencode(name), *signature, sha) for name, (signature, sha) in learnt.items()),
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=60)
        try:
            with connection:
                connection.execute(SCHEMA)
                yield connection
        finally:
            connection.close()


def _signature(status: os.stat_result) -> Signature:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _key(tree: Path) -> bytes:
    """A tree by the one path that it really has."""
    return os.fsencode(tree.resolve())
