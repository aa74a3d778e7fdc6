"""How much an archive, a commit or a tree may make oolong write and read: entries, bytes, and folders in folders.

Far more than any kernel, toolchain or package has, and little enough to be counted, hashed and removed again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from oolong.errors import BadInput

# the start of an entry as tar -vv --numeric-owner tells of it: mode, owner, size (a device has two numbers)
ENTRY = re.compile(r"\S+ [^\s/]+/[^\s/]+ +(?P<size>\d+) (?P<rest>.*)")
# of a size; a longer one is too much anyway
MOST_DIGITS = 20
# what is no entry
REMARK = "tar: "
MENTIONED = 100
# as long as a path may be
LONGEST_NAME = 4096
# two names with each byte as an octal number, and what stands before them
LONGEST_LINE = 1 << 16
SUSPICIOUS = "no kernel, toolchain or package has as much: do not use it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most. Of the sizes that count, those that the files claim: holes count too, since they are read."""

    entries: int
    size: int
    depth: int


# a kernel has 95,000 files in 1.8 GB, 12 folders deep; LLVM 10,000 in 6 GB; the object tree of an allmodconfig 30 GB
ARCHIVE = Budget(entries=1_000_000, size=16 << 30, depth=64)
BUILD = Budget(entries=2_000_000, size=256 << 30, depth=64)
# of an output that is a single file: it is hashed and read, and copied whole for a report
LARGEST_FILE = 8 << 30
# twice what ccache keeps by itself (CCACHE_MAXSIZE)
CCACHE = Budget(entries=2_000_000, size=20 << 30, depth=64)
PACKAGE = Budget(entries=200_000, size=4 << 30, depth=64)


class Counted:
    """Adds up what an archive holds while it is unpacked; BadInput as soon as it is too much."""

    def __init__(self, budget: Budget, *, where: str, hint: str = SUSPICIOUS) -> None:
        self._budget = budget
        self._where = where
        self._hint = hint
        self._rest = b""
        self.entries = 0
        self.size = 0

    def add(self, name: str, size: int) -> None:
        """One entry more."""
        self.entries += 1
        self.size += size
        if len(name) > LONGEST_NAME:
            raise self._refused(f"has a name of more than {LONGEST_NAME} bytes: {name[:MENTIONED]}…")
        if self.entries > self._budget.entries:
            raise self._refused(f"holds more than {self._budget.entries} files")
        if self.size > self._budget.size:
            raise self._refused(f"holds more than {self._budget.size >> 20} MiB")
        if name.count("/") > self._budget.depth:
            raise self._refused(f"has a name more than {self._budget.depth} folders deep: {name[:MENTIONED]}")

    def lines(self, chunk: bytes, *, end: bytes) -> Iterator[str]:
        """The lines that are whole with one chunk more of a list; what is no line yet is kept, if it may become one."""
        *lines, self._rest = (self._rest + chunk).split(end)
        if len(self._rest) > LONGEST_LINE:
            raise self._refused(f"has a name of more than {LONGEST_NAME} bytes")
        return (line.decode(errors="replace") for line in lines)

    def listed(self, line: str) -> None:
        """One line of what tar -vv says: an entry, with its time before its name, or a remark."""
        if not line.startswith(REMARK):
            match = ENTRY.match(line)
            self.add(
                match["rest"].partition(" -> ")[0] if match else line, int(match["size"][:MOST_DIGITS]) if match else 0
            )

    def _refused(self, what: str) -> BadInput:
        return BadInput(what, where=self._where, hint=self._hint)
