"""What an explanation says, as plain values; as JSON addresses are hexadecimal text, sizes and distances numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from oolong.binary.disassembly import Line


class Pointer(NamedTuple):
    """The pointer to a struct ftrace_ops: where it points, and the name of what is there."""

    address: int
    name: str

    def as_json(self) -> dict[str, Any]:
        return {"address": hex(self.address), "name": self.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A patch site and its stub at some point: the word at the site, the pointer to the ops (None where stubs hold
    none), the instructions of the stub (none where there is no stub)."""

    site: Line | None
    ops: Pointer | None
    stub: tuple[Line, ...]

    @property
    def filled(self) -> bool:
        """Whether there is more than zeros in the stub."""
        return any(line.word for line in self.stub) or bool(self.ops and self.ops.address)

    def as_json(self) -> dict[str, Any]:
        return {
            "site": _line(self.site) if self.site else None,
            "ops": self.ops.as_json() if self.ops else None,
            "stub": _lines(self.stub),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The kernel's record of a patch site: the bits of its flags by name, how many users it counts, the ops that trace
    the site by name, or by address where they have none."""

    flags: int
    bits: tuple[str, ...]
    users: int
    traced_by: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "flags": hex(self.flags),
            "bits": list(self.bits),
            "users": self.users,
            "traced_by": list(self.traced_by),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The stops at which all was the same, and what it was."""

    stops: tuple[str, ...]
    state: State
    record: Record

    def as_json(self) -> dict[str, Any]:
        return {"stops": list(self.stops), **self.state.as_json(), "record": self.record.as_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which stub serves a site: number `index` of `area`, where `used` of `size` are in use; `code` is its first
    instruction. `there` is the way from the site to it, `back` that of the branch back, in bytes, negative downwards;
    `headroom` is how much further each branch would reach that way."""

    area: str
    index: int
    used: int
    size: int
    address: int
    code: int
    there: int
    back: int
    headroom: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "area": self.area,
            "index": self.index,
            "used": self.used,
            "size": self.size,
            "address": hex(self.address),
            "code": hex(self.code),
            "there": self.there,
            "back": self.back,
            "headroom": {"there": self.headroom[0], "back": self.headroom[1]},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A patch site: `offset` bytes after the function's symbol, `recorded` as the table has it; `area` is text or
    inittext. A `dead` one is left of a weak function that another overrides.

    `in_file` is what the linked kernel holds, `expected` what the kernel will make of it when it boots; `moments` are
    what was in memory, `absent` the stops at which there was no record. Without a `place`, `unserved` says why.
    """

    ip: int
    recorded: int
    offset: int
    area: str
    dead: bool
    place: Place | None
    unserved: str
    in_file: State
    expected: State | None
    moments: tuple[Moment, ...]
    absent: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "address": hex(self.ip),
            "recorded": hex(self.recorded),
            "offset": self.offset,
            "area": self.area,
            "dead": self.dead,
            "stub": self.place.as_json() if self.place else None,
            "unserved": self.unserved,
            "in_file": self.in_file.as_json(),
            "expected": self.expected.as_json() if self.expected else None,
            "live": [moment.as_json() for moment in self.moments],
            "absent": list(self.absent),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check of the audit that does not hold for the function; `known` are the known issues that cover it."""

    check: str
    status: str
    known: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"check": self.check, "status": self.status, "known": list(self.known)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function, `size` and `local_entry` in bytes; `entry` is its code until shortly after its patch site, `notes`
    what is special about it."""

    name: str
    address: int
    size: int
    local_entry: int
    entry: tuple[Line, ...]
    sites: tuple[Site, ...]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "address": hex(self.address),
            "size": self.size,
            "local_entry": self.local_entry,
            "entry": _lines(self.entry),
            "sites": [site.as_json() for site in self.sites],
            "notes": list(self.notes),
            "findings": [finding.as_json() for finding in self.findings],
        }


def _line(line: Line) -> dict[str, Any]:
    return {"address": hex(line.address), "word": f"{line.word:08x}", "text": line.text}


def _lines(lines: Sequence[Line]) -> list[dict[str, Any]]:
    return [_line(line) for line in lines]
