"""Damaged files for the readers, and a program that reads many of them with little memory: `python -m tests.fuzz`.

Every reader says BadInput or reads; BadOutput is for what a kernel lacks. Anything else is a defect of the reader.
"""

import json
import resource
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oolong.audit import image as vmlinux
from oolong.audit import object, object_checks, probes, static_checks
from oolong.audit.linked import Known
from oolong.binary import dwarf
from oolong.errors import BadInput, BadOutput
from oolong.machine import memory
from oolong.stubs import counting
from tests.support import TEST_DATA

OBJECTS = TEST_DATA / "objects"
IMAGES, SOURCES, LAYOUTS = (
    ("image-le", "image-be"),
    ("le64.o", "be64.o", "be32.o", "le64-sections.o"),
    ("layout-le.o", "layout-be-clang.o"),
)
EXTREMES = (0, 1, 0x7F, 0xFF00, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 63, (1 << 64) - 8, (1 << 64) - 1)
MEMORY_BYTES, CPU_SECONDS = 1 << 30, 240
HEADER = ((16, 2), (20, 4), (40, 8), (48, 4), (52, 2), (58, 2), (60, 2), (62, 2))
SECTION = ((0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8))
SYMBOL = ((0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8))
RELOCATION = ((0, 8), (8, 8), (16, 8))
TABLES = {2: (24, SYMBOL), 4: (24, RELOCATION)}


def read_image(path: Path) -> None:
    kernel = vmlinux.read(path)
    static_checks.image_checks(kernel, Known(config={"KPROBES_ON_FTRACE": "y"}))
    probes.probes(kernel)


def read_source(path: Path) -> None:
    found = object.read(path)
    list(object_checks.checks(found, source={}))
    sites = counting.read_sites(path)
    counting.document(sites, counting.plan(sites, 0))


def read_layout(path: Path) -> None:
    dwarf.read(path, structs={"dyn_ftrace"}, enumerators="FTRACE_")


Reader = Callable[[Path], Any]
READERS: dict[str, Reader] = {
    **dict.fromkeys(IMAGES, read_image),
    **dict.fromkeys(SOURCES, read_source),
    **dict.fromkeys(LAYOUTS, read_layout),
}


def survives(reader: Reader, path: Path) -> None:
    """Read a damaged file; raises whatever is neither BadInput nor BadOutput."""
    try:
        reader(path)
    except (BadInput, BadOutput):
        return


def fields(data: bytes) -> list[tuple[int, int]]:
    """(offset, size) of every number in the headers and tables of a 64-bit ELF file; of a 32-bit one the header's."""
    found = list(HEADER)
    if data[4] != 2:
        return found
    order = "<" if data[5] == 1 else ">"
    (start,) = struct.unpack_from(f"{order}Q", data, 40)
    (count,) = struct.unpack_from(f"{order}H", data, 60)
    for number in range(count):
        header = start + 64 * number
        found += [(header + at, size) for at, size in SECTION]
        (kind,) = struct.unpack_from(f"{order}I", data, header + 4)
        offset, length = struct.unpack_from(f"{order}QQ", data, header + 24)
        if kind in TABLES:
            step, members = TABLES[kind]
            found += [(entry + at, size) for entry in range(offset, offset + length, step) for at, size in members]
    return found


def put(data: bytes, at: int, size: int, value: int) -> bytes:
    """A file with another number in it, in its byte order."""
    number = (value % (1 << 8 * size)).to_bytes(size, "little" if data[5] == 1 else "big")
    return data[:at] + number + data[at + size :]


def extremes() -> Iterator[tuple[str, bytes]]:
    """(name, file) with each number of each header and table as large and as small as can be."""
    for name in READERS:
        data = (OBJECTS / name).read_bytes()
        places = fields(data)
        for number, (at, size) in enumerate(places):
            # so that all of them meet somewhere, and the whole is no longer than it must be
            for value in EXTREMES[number % 8 :: 8]:
                yield name, put(data, at, size, value)


def bombs() -> Iterator[bytes]:
    """Memory files that are small, and say that they are not."""
    huge = b"".join(_deflated(2 << 30))
    few = [{"name": "off", "pages": [[0, 0], [4096, 1]]}]
    yield _memory_file(few, huge)
    yield _memory_file([{"name": "off", "pages": [[4096 * place, place] for place in range(1 << 18)]}], huge)
    yield _memory_file([{"name": "off", "pages": [[0, 1 << 40]]}], zlib.compress(bytes(4096)))
    yield _memory_file([{"name": "off", "pages": [[0, -1]]}], zlib.compress(bytes(4096)))
    yield memory.MAGIC + struct.pack(">Q", 1 << 63)
    yield memory.MAGIC + struct.pack(">Q", 200000) + b"[" * 200000


def _deflated(size: int) -> Iterator[bytes]:
    made, block = zlib.compressobj(9), bytes(1 << 20)
    for _ in range(size >> 20):
        yield made.compress(block)
    yield made.flush()


def _memory_file(index: Sequence[Any], body: bytes) -> bytes:
    head = json.dumps(index).encode()
    return memory.MAGIC + struct.pack(">Q", len(head)) + head + body


def main() -> int:
    """Read all of them; the exit code is 1 if a reader stumbled over one."""
    kept = list(bombs())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    stumbled = done = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged"
        for name, data in [*extremes(), *(("memory", bomb) for bomb in kept)]:
            path.write_bytes(data)
            done += 1
            try:
                survives(READERS.get(name, memory.load), path)
            except Exception as error:
                stumbled += 1
                print(f"{name}: {type(error).__name__}: {error}")
    print(f"{done} files, {stumbled} stumbled over")
    return int(stumbled > 0)


if __name__ == "__main__":
    sys.exit(main())
