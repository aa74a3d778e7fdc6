"""Addresses on the console of a guest that died → the functions that they lie in; of a stub, the one it serves (pure).

Sources: show_regs and show_stack in arch/powerpc/kernel/process.c of Linux 7.3; ppc_cpu_dump_state in QEMU's
target/ppc/cpu_init.c for the registers that its monitor prints.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oolong.audit.allocation import STUB_WORDS, allocate
from oolong.audit.image import Image
from oolong.audit.live_state import told
from oolong.audit.survey import Survey
from oolong.binary import powerpc
from oolong.machine.console import PREFIX

# of all that a console names
MOST = 16
# what stands before an address, and the address
FORMS = (
    re.compile(r"^(?P<what>NIP|LR) \[(?P<at>[0-9a-f]{16})\]"),
    re.compile(r"^\[[0-9a-f]{16}\] \[(?P<at>[0-9a-f]{16})\]"),
    re.compile(r"^(?P<what>Faulting instruction)(?: address)?: 0x(?P<at>[0-9a-f]{16})\b"),
)
REGISTERS = re.compile(r"^NIP (?P<nip>[0-9a-f]{16})\s+LR (?P<lr>[0-9a-f]{16})\b", re.MULTILINE)
CALLER = "called from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address in code: `what` the console calls it, `told` where it lies; `serves` is the function whose stub it
    lies in, if it does in one."""

    what: str
    address: int
    told: str
    serves: str | None

    @property
    def line(self) -> str:
        return f"{self.what} {self.address:016x}: {self.told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stubs:
    """The stubs by the address of their first instruction, and whom each serves."""

    starts: tuple[int, ...]
    owners: tuple[str, ...]
    lead: int

    @classmethod
    def of(cls, image: Image, seen: Survey | None) -> "Stubs":
        """By the records of a picture of the guest's memory; without one, by the allocation on paper."""
        if seen:
            pairs = {one.stub: told(image, seen, one.ip) for one in seen.records if one.stub}
        else:
            pairs = {stub.code: image.owner(ip) for ip, stub in allocate(image).stubs.items()}
        starts = tuple(sorted(pairs))
        return cls(starts=starts, owners=tuple(pairs[start] for start in starts), lead=image.stub_code)

    def at(self, address: int) -> tuple[str, int] | None:
        """The function whose stub an address lies in, and which of its words that is; -1 for its pointer to ops."""
        place = bisect_right(self.starts, address + self.lead) - 1
        if place < 0:
            return None
        word = (address - self.starts[place]) // powerpc.INSTRUCTION
        return (self.owners[place], max(word, -1)) if word < STUB_WORDS else None


def places(console: str, registers: str, image: Image, seen: Survey | None) -> tuple[Place, ...]:
    """Where the addresses lie that a console, and the monitor's registers of all CPUs, have: each once, those in stubs
    before all others, at most MOST."""
    stubs = Stubs.of(image, seen)
    found: dict[tuple[str, int], Place] = {}
    for what, address in (*_on_console(console.splitlines()), *_in_registers(registers)):
        if (what, address) not in found and (place := _place(what, address, stubs, image, seen)):
            found[what, address] = place
    return tuple(sorted(found.values(), key=lambda place: place.serves is None)[:MOST])


def _on_console(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    for raw in lines:
        line = PREFIX.sub("", raw)
        for form in FORMS:
            if match := form.match(line):
                yield match.groupdict().get("what") or CALLER, int(match["at"], 16)


def _in_registers(said: str) -> Iterator[tuple[str, int]]:
    """Of all CPUs, as the machine stood in the end."""
    for number, match in enumerate(REGISTERS.finditer(said)):
        yield f"in the end, NIP of CPU {number}", int(match["nip"], 16)
        yield f"in the end, LR of CPU {number}", int(match["lr"], 16)


def _place(what: str, address: int, stubs: Stubs, image: Image, seen: Survey | None) -> Place | None:
    """None for what is not in code."""
    if served := stubs.at(address):
        owner, word = served
        which = f"instruction {word + 1} of the stub" if word >= 0 else "the pointer to ops in the stub"
        return Place(what=what, address=address, told=f"{which} of {owner}", serves=owner)
    if seen and (module := seen.module_at(address)):
        return Place(what=what, address=address, told=f"{module.name}+{address - module.text.start:#x}", serves=None)
    if image.area_of(address) is None:
        return None
    return Place(what=what, address=address, told=image.told(address), serves=None)
