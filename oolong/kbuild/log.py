"""What the output of a build says: the lines of a failed one that matter, the checks that it ran (pure)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

CULPRIT = re.compile(
    r"\berror: |: Error: |undefined reference to|multiple definition of|No rule to make target"
    r"|^ERROR: |: not found$|\*\*\* "
)
POST_LINK = re.compile(r"^[ \t]*(CHK[A-Z]+)\s", re.MULTILINE)
MOST = 20
# in place of the lines after the first ones
LEFT_OUT = re.compile(r"… and (\d{1,9}) more in the log")
# the assembler calls what stopped it a warning, and says in another line that it is an error
FATAL_WARNINGS = "treating warnings as errors"
WARNING = re.compile(r": Warning: ")
PASSED_ON = re.compile(
    r"make(?:\[(?P<level>\d{1,9})\])?: \*\*\* "
    r"(?:\[(?P<place>.*)\] Error (?P<code>\d{1,9})|Waiting for unfinished jobs\.+)"
)
MAKE = re.compile(r"make(?:\[(?P<level>\d{1,9})\])?: \*\*\* ")
# what a make that failed ends with (GNU make, "Running make")
OF_A_MAKE = "2"
# deeper than any make: of a makefile that cannot be read
DEEPEST = 1 << 30
PATH = re.compile(r"[\w./+~-]+")


def culprits(last: Sequence[str], *, said: Iterable[str] = ()) -> tuple[str, ...]:
    """The first 20 lines that name what went wrong, and how many more there are; else the last lines of all.

    Where `last` are not all lines, `said` are: the whole log.
    """
    before = [line.rstrip() for line in said if CULPRIT.search(line) or WARNING.search(line)]
    there = set(before)
    lines = [*before, *(line.rstrip() for line in last if line.rstrip() not in there)]
    fatal = any(FATAL_WARNINGS in line for line in lines)
    found = [line for line in lines if CULPRIT.search(line) or (fatal and WARNING.search(line))]
    if not found:
        return tuple(line.rstrip() for line in last[-MOST:])
    own = set(_own(found))
    more = sum(line in own for line in found[MOST:])
    return (*found[:MOST], *((f"… and {more} more in the log",) if more else ()))


def left_out(lines: Sequence[str]) -> int:
    """How many lines such lines stand for besides themselves."""
    match = LEFT_OUT.fullmatch(lines[-1]) if lines else None
    return int(match[1]) if match else 0


def post_link(said: str) -> list[str]:
    """The checks of the linked image that make says it runs (arch/powerpc/Makefile.postlink), by their short names."""
    return POST_LINK.findall(said)


def causes(lines: Sequence[str]) -> tuple[str, ...]:
    """Those of the lines that say more than that make passes a failure on; all of them if none does. Where make alone
    tells of a target that failed, that is a cause, too."""
    return tuple(_own(lines)) or tuple(lines)


def _own(lines: Sequence[str]) -> Iterator[str]:
    if not any(PASSED_ON.fullmatch(line) is None for line in lines):
        return
    told = _Told()
    for line in lines:
        if not PASSED_ON.fullmatch(line):
            told.hear(line)
    deepest = -1
    for line in lines:
        match = PASSED_ON.fullmatch(line)
        if match is None:
            yield line
        elif match["place"] is not None:
            target, level = match["place"].rpartition(": ")[2], int(match["level"] or 0)
            inner = match["code"] == OF_A_MAKE and (told.leads_to(target) or ("/" not in target and deepest > level))
            if not inner and not told.names(target):
                yield line
            told.failed(target)
        if "*** " in line:
            made = MAKE.match(line)
            deepest = max(deepest, int(made["level"] or 0) if made else DEEPEST)


class _Told:
    """What lines speak of: the files by their names less suffixes, with the folder around each where it is said, and
    all folders."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._without_folder: set[str] = set()
        self._names: set[str] = set()
        self._folders: set[str] = set()

    def hear(self, line: str) -> None:
        for word in PATH.findall(line):
            folder, name = _tail(word)
            (self._files if folder else self._without_folder).add(f"{folder}/{name}" if folder else name)
            self._names.add(name)
            self.failed(word)

    def failed(self, target: str) -> None:
        """A target, in folders that make goes down into."""
        parts = target.split("/")
        self._folders.update("/".join(pair) for pair in pairwise(parts))

    def names(self, target: str) -> bool:
        """Whether a line speaks of the source of a target, or of the target."""
        folder, name = _tail(target)
        if not folder:
            return name in self._names
        return f"{folder}/{name}" in self._files or name in self._without_folder

    def leads_to(self, target: str) -> bool:
        """Whether a target is a folder of which a line speaks."""
        return "/".join(target.split("/")[-2:]) in self._folders if "/" in target else False


def _tail(path: str) -> tuple[str, str]:
    """The name of the folder around a file, empty where it is not said, and the file's name less its suffixes."""
    folder, _, name = path.rpartition("/")
    return folder.rpartition("/")[2], name.lstrip(".").partition(".")[0]
