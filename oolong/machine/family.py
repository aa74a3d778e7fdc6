"""What machines of one family have in common, as data: QEMU's program, the guest's terminals, where memory is mapped.

A new family is a name in oolong.spec.model and a row here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from oolong.spec.model import MachineFamily


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The guest's first terminal: QEMU's `words` that put it on stdout, and `kernel_name`, as in `console=`."""

    words: tuple[str, ...]
    kernel_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportChannel:
    """The guest's second terminal: QEMU's `device`, the `node` that the guest opens, and its character device."""

    device: str
    node: str
    major: int
    minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMap:
    """Kernel addresses from `start` up to `end` whose bits in `physical` are the physical address."""

    start: int
    end: int
    physical: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`program` is QEMU's. Without a `report` channel the guest reports nothing. Without a `linear_map` memory is read
    as a stopped CPU sees it, never by physical address."""

    program: str
    console: Console
    report: ReportChannel | None
    linear_map: LinearMap | None


# arch/powerpc/include/asm/book3s/64/radix.h, page.h: the map of all memory, and what of its addresses is physical
BOOK3S64 = LinearMap(start=0xC000000000000000, end=0xC008000000000000, physical=0x0FFFFFFFFFFFFFFF)

FAMILIES: Mapping[MachineFamily, Family] = {
    # QEMU chooses the `reg` of the second spapr-vty: the lowest of all is the guest's first
    MachineFamily.PSERIES: Family(
        program="qemu-system-ppc64",
        console=Console(words=("-serial", "stdio"), kernel_name="hvc0"),
        report=ReportChannel(device="spapr-vty", node="/dev/hvc1", major=229, minor=1),
        linear_map=BOOK3S64,
    ),
    # OPAL has one console; spapr-vty exists on pseries alone
    MachineFamily.POWERNV: Family(
        program="qemu-system-ppc64",
        console=Console(words=("-serial", "stdio"), kernel_name="hvc0"),
        report=None,
        linear_map=BOOK3S64,
    ),
}
