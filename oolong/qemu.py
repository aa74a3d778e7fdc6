"""A machine and a kernel → QEMU's argv (pure), as seen inside the sandbox."""

from oolong.model import Machine

KERNEL, INITRAMFS = "/boot/vmlinux", "/boot/initramfs"
PROGRAM = "qemu-system-ppc64"


def argv(machine: Machine, *, append: str) -> tuple[str, ...]:
    """Boot KERNEL with INITRAMFS; the console is QEMU's stdout, and a reset or power-off ends QEMU."""
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
    )  # fmt: skip
