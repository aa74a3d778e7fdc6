"""A machine and a kernel → QEMU's argv (pure), as seen inside the sandbox."""

from dataclasses import dataclass

from oolong.machine.family import FAMILIES, Family
from oolong.spec.model import Machine

KERNEL, INITRAMFS = "/boot/vmlinux", "/boot/initramfs"
# a folder that can be written: what the guest says on its second terminal, and what the monitor saves
MEMORY, REPORT = "/memory", "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The file descriptors, as words, on which QEMU's monitor and its debugger speak."""

    monitor: str
    debugger: str


def argv(machine: Machine, *, append: str, lines: Lines | None = None) -> tuple[str, ...]:
    """Boot KERNEL with INITRAMFS; the console is QEMU's stdout, and a reset or power-off ends QEMU.

    With `lines` the machine can be stopped and looked at, the guest has its second terminal, and whoever looks has to
    end QEMU.
    """
    family = FAMILIES[machine.family]
    return (
        family.program,
        "-nodefaults",
        "-no-user-config",
        "-display", "none",
        *family.console.words,
        "-no-reboot",
        "-machine", machine.machine,
        "-cpu", machine.cpu,
        "-smp", str(machine.cpus),
        "-m", str(machine.memory),
        "-kernel", KERNEL,
        "-initrd", INITRAMFS,
        "-append", append,
        *(_watched(lines, family) if lines else ()),
    )  # fmt: skip


def _watched(lines: Lines, family: Family) -> tuple[str, ...]:
    """Nothing runs before the debugger says so; the guest's second terminal is the file REPORT of MEMORY. A machine
    that ends, or whose guest panics, stays to be looked at."""
    return (
        "-S",
        "-action", "panic=pause,shutdown=pause",
        "-chardev", f"socket,id=monitor,fd={lines.monitor}",
        "-mon", "chardev=monitor,mode=control",
        "-chardev", f"socket,id=debugger,fd={lines.debugger}",
        "-gdb", "chardev:debugger",
        *(
            ("-chardev", f"file,id=report,path={MEMORY}/{REPORT}", "-device", f"{family.report.device},chardev=report")
            if family.report
            else ()
        ),
    )  # fmt: skip
