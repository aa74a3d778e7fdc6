"""What the guest says of its tracing, parsed (pure): the sections of its report, and the lines of ftrace's own lists.

Sources: t_show and print_rec in kernel/trace/ftrace.c of Linux 7.3; guest/init.c, which puts the report together.
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

AVAILABLE, WITH_ADDRESSES, TOTAL = (
    "available_filter_functions",
    "available_filter_functions_addrs",
    "dyn_ftrace_total_info",
)
ENABLED, TOUCHED, PROBES = "enabled_functions", "touched_functions", "kprobes"
# what the kernel calls a record that it took for dead (FTRACE_INVALID_FUNCTION)
INVALID = "__ftrace_invalid_address__"
# what the letters of enabled_functions stand for, in their order (t_show)
LETTERS = {
    "R": "FTRACE_FL_REGS",
    "I": "FTRACE_FL_IPMODIFY",
    "D": "FTRACE_FL_DIRECT",
    "O": "FTRACE_FL_CALL_OPS",
    "M": "FTRACE_FL_MODIFIED",
}
# how many functions one checksum of the guest stands for
BLOCK = 32

# lines that are no living function's: what a function's line goes on with, notes, dead records
NO_FUNCTION = "\t", "#", INVALID
TRACED = re.compile(r"(?P<name>[^\s(]+)(?: \[(?P<module>\w+)\])?\s*\((?P<users>\d{1,9})\)(?P<flags>[^\t]*)")
LETTER = re.compile(f"[{''.join(LETTERS)}]")
COUNT = re.compile(r"count (\d{1,9})")
CHECKSUM = re.compile(r"block (\d{1,9}) ([0-9a-f]{1,8})")
LISTED = re.compile(r"(?P<address>[0-9a-f]{1,16}) (?P<name>\S+)(?: \[(?P<module>\w+)\])?")


class Enabled(NamedTuple):
    """A line of enabled_functions: `letters` stand for what is done with the function, those of LETTERS."""

    name: str
    module: str | None
    users: int
    letters: str


class Listed(NamedTuple):
    """A line of available_filter_functions_addrs."""

    address: int
    name: str
    module: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """What the guest reports of all functions when they are too many for their names: how many are listed, and of each
    BLOCK of the kernel's own, in their order, the number and the checksum."""

    count: int
    blocks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Told:
    """What the guest said: `allocated` records when it booted (None: it did not say), and the sections of its report
    by name; `kprobes_on_ftrace` says whether its kprobes use patch sites at all."""

    allocated: int | None
    sections: Mapping[str, Sequence[str]]
    kprobes_on_ftrace: bool

    def at(self, name: str, stop: str) -> Sequence[str] | None:
        """The section on a file of tracefs at a stop."""
        return self.sections.get(f"{name}@{stop}")

    def traced(self, name: str, stop: str) -> list[Enabled] | None:
        """The lines of enabled_functions or touched_functions at a stop, as far as the guest reports them by name; dead
        records, of which the kernel says no more, come last. So do lines that nobody can read, for they are in no list
        of the kernel's."""
        lines = self.at(name, stop)
        if lines is None:
            return None
        alive, others = [], []
        for line in lines:
            if (one := None if line.startswith(NO_FUNCTION) else TRACED.match(line)) is not None:
                letters = "".join(LETTER.findall(one["flags"]))
                alive.append(Enabled(one["name"], one["module"], int(one["users"]), letters))
            elif not (line.startswith(("\t", "#")) or COUNT.fullmatch(line) or CHECKSUM.fullmatch(line)):
                others.append(Enabled(line.strip(), None, 0, ""))
        return [*alive, *others]

    def many(self, name: str, stop: str) -> Many | None:
        """What it reports in place of the names of all functions."""
        lines = self.at(name, stop) or ()
        count = next((int(match[1]) for line in lines if (match := COUNT.fullmatch(line))), None)
        if count is None:
            return None
        blocks = (match for line in lines if (match := CHECKSUM.fullmatch(line)))
        return Many(count=count, blocks=tuple((int(one[1]), int(one[2], 16)) for one in blocks))

    @cached_property
    def with_addresses(self) -> list[Listed] | None:
        """The lines of available_filter_functions_addrs; one that nobody can read is at no address."""
        lines = self.sections.get(WITH_ADDRESSES)
        if lines is None:
            return None
        found = ((line, LISTED.fullmatch(line)) for line in lines)
        return [
            Listed(int(one["address"], 16), one["name"], one["module"]) if one else Listed(0, line, None)
            for line, one in found
        ]

    @cached_property
    def landed(self) -> dict[str, str]:
        """Where each kprobe by symbol landed, as the guest's list of enabled functions has it: names, `-` for a probe
        that no patch site serves, or `!` and an error."""
        return {words[0]: " ".join(words[1:]) for line in self.sections.get(PROBES, ()) if (words := line.split())}


def sections(report: str) -> dict[str, list[str]]:
    """The lines of the guest's report by the name of their section; a terminal ends lines with a return, too."""
    found: dict[str, list[str]] = {}
    own: list[str] = []
    for line in report.replace("\r", "").split("\n"):
        if line.startswith("== "):
            own = found.setdefault(line[3:].strip(), [])
        elif line:
            own.append(line)
    return found


def told(report: str, booted: Mapping[str, Any], config: Mapping[str, str], *, whole: bool = True) -> Told:
    """From the report, the data of the stage boot, and the kernel's .config. The last section of a report that is not
    `whole` may have been cut off, and says nothing."""
    found = sections(report)
    if not whole and found:
        found.popitem()
    return Told(booted.get("allocated"), found, config.get("KPROBES_ON_FTRACE") == "y")


def blocks(traced: Iterable[Enabled]) -> Iterator[tuple[Sequence[Enabled], int]]:
    """Each BLOCK of lines, with the checksum that the guest makes of them."""
    lines = list(traced)
    for at in range(0, len(lines), BLOCK):
        own = lines[at : at + BLOCK]
        text = "".join(f"{one.name} {one.users} {one.letters}\n" for one in own)
        yield own, zlib.crc32(text.encode())
