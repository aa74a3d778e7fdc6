"""The guest's memory by kernel virtual address: as it is read while the guest stands still, and as it was kept.

Between the boot and the audit: a capture reads pages of a running machine and keeps what it read; the audit reads the
same pages again from the file. Pages that are equal at several stops are stored once.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from oolong.errors import BadInput, BadOutput

PAGE = 4096
MAGIC = b"oolong memory 1\n"
# a length that a broken guest tells must not be believed
LARGEST_READ = 1 << 30
_LENGTH = struct.Struct(">Q")
# of all distinct pages together; zlib packs a thousand to one, and what is read at once is not more than this
LARGEST, CHUNK = 1 << 28, 1 << 16


class Unreadable(Exception):
    """There is nothing to be read at an address: a pointer that leads nowhere."""

    def __init__(self, address: int) -> None:
        super().__init__(f"nothing can be read at {address:#x}")
        self.address = address


class Memory(Protocol):
    """Something that has bytes at kernel virtual addresses."""

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes; Unreadable if some of them are not there."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read while the guest stood still at one point; `pages` maps addresses, multiples of PAGE, to PAGE
    bytes each."""

    name: str
    pages: Mapping[int, bytes]

    def read(self, address: int, size: int) -> bytes:
        found = []
        at, end = address, address + size
        while at < end:
            base = at - at % PAGE
            page = self.pages.get(base)
            if page is None:
                raise Unreadable(at)
            found.append(page[at - base : end - base])
            at = base + PAGE
        return b"".join(found)


class Recording:
    """Memory that is fetched page by page, and keeps what it fetched.

    `fetch` takes an address and a number of bytes, both multiples of PAGE, and raises Unreadable. A read with which it
    would keep more than `most` bytes is BadOutput.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], *, most: int = LARGEST) -> None:
        self._fetch, self._most = fetch, most
        self.pages: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise Unreadable(address)
        first, last = address - address % PAGE, -(-(address + size) // PAGE) * PAGE
        missing = [base for base in range(first, last, PAGE) if base not in self.pages]
        if PAGE * (len(self.pages) + len(missing)) > self._most:
            raise BadOutput(f"more than {LARGEST >> 20} MiB of the guest's memory would have to be kept")
        if missing:
            start, end = missing[0], missing[-1] + PAGE
            data = self._fetch(start, end - start)
            for base in range(start, end, PAGE):
                self.pages[base] = data[base - start : base - start + PAGE]
        return Snapshot("", self.pages).read(address, size)


def write(path: Path, snapshots: Iterable[Snapshot]) -> None:
    """Keep snapshots in a file: a JSON index of which page holds what, then every distinct page once, compressed."""
    places: dict[bytes, int] = {}
    index = [
        {"name": one.name, "pages": [[base, places.setdefault(page, len(places))] for base, page in one.pages.items()]}
        for one in snapshots
    ]
    head = json.dumps(index, separators=(",", ":")).encode()
    body = zlib.compress(b"".join(places), 1)
    path.write_bytes(MAGIC + _LENGTH.pack(len(head)) + head + body)


def load(path: Path) -> tuple[Snapshot, ...]:
    """The snapshots of a file, in the order of the stops; BadInput if it is not one that `write` wrote."""
    try:
        raw = path.read_bytes()
        if not raw.startswith(MAGIC):
            raise ValueError("it begins otherwise")
        (length,) = _LENGTH.unpack_from(raw, len(MAGIC))
        start = len(MAGIC) + _LENGTH.size
        index: list[dict[str, Any]] = json.loads(raw[start : start + length])
        pages = _pages(
            raw[start + length :], 1 + max((place for one in index for _, place in one["pages"]), default=-1)
        )
        return tuple(Snapshot(str(one["name"]), dict(_placed(one["pages"], pages))) for one in index)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError, struct.error, zlib.error) as error:
        raise BadInput(f"not a memory file of oolong: {error}", where=str(path)) from error


def _pages(packed: bytes, count: int) -> list[bytes]:
    """The distinct pages; ValueError if they are not `count`."""
    if count * PAGE > LARGEST:
        raise ValueError(f"it names {count} pages")
    stream, body = zlib.decompressobj(), bytearray()
    for at in range(0, len(packed), CHUNK):
        body += stream.decompress(packed[at : at + CHUNK])
        if len(body) > count * PAGE:
            break
    if len(body) != count * PAGE or not stream.eof or stream.unused_data:
        raise ValueError(f"it does not hold the {count} pages that it names")
    return [bytes(body[at : at + PAGE]) for at in range(0, len(body), PAGE)]


def _placed(named: list[list[int]], pages: list[bytes]) -> Iterator[tuple[int, bytes]]:
    for base, place in named:
        if type(base) is not int or base % PAGE or place < 0:
            raise ValueError(f"no page lies at {base!r}")
        yield base, pages[place]
