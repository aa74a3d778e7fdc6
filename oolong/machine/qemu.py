"""A machine and a kernel → QEMU's argv (pure), as seen inside the sandbox."""

from dataclasses import dataclass

from oolong.spec.model import Machine

KERNEL, INITRAMFS = "/boot/vmlinux", "/boot/initramfs"
PROGRAM = "qemu-system-ppc64"
# a folder that can be written: what the guest says on its second terminal, and what the monitor saves
MEMORY, REPORT = "/memory", "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The file descriptors, as words, on which QEMU's monitor and its debugger speak."""

    monitor: str
    debugger: str

    @property
    def words(self) -> tuple[str, ...]:
        """Nothing runs before the debugger says so; the guest's second terminal is the file REPORT of MEMORY.

        QEMU chooses that terminal's `reg`: the lowest of all is the guest's first.
        """
        return (
            "-S",
            "-chardev", f"socket,id=monitor,fd={self.monitor}",
            "-mon", "chardev=monitor,mode=control",
            "-chardev", f"socket,id=debugger,fd={self.debugger}",
            "-gdb", "chardev:debugger",
            "-chardev", f"file,id=report,path={MEMORY}/{REPORT}",
            "-device", "spapr-vty,chardev=report",
        )  # fmt: skip


def argv(machine: Machine, *, append: str, lines: Lines | None = None) -> tuple[str, ...]:
    """Boot KERNEL with INITRAMFS; the console is QEMU's stdout, and a reset or power-off ends QEMU.

    With `lines` the machine can be stopped and looked at.
    """
    return (
        PROGRAM,
        "-nodefaults",
        "-no-user-config",
        "-display", "none",
        "-serial", "stdio",
        "-no-reboot",
        "-machine", machine.machine,
        "-cpu", machine.cpu,
        "-smp", str(machine.cpus),
        "-m", str(machine.memory),
        "-kernel", KERNEL,
        "-initrd", INITRAMFS,
        "-append", append,
        *(lines.words if lines else ()),
    )  # fmt: skip
