"""What runs in the booted kernel: how it is built and packed (pure), and what it is told.

The init of guest/ is static on the kernel's own tools/include/nolibc; the archive is made by the kernel's own
usr/gen_init_cpio, with one time for all files. Paths are those inside the sandbox.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from oolong.host.sandbox import BUILD, SRC
from oolong.kbuild.make import clang_target, is_clang, make, tool
from oolong.machine.family import FAMILIES
from oolong.spec.model import Cell

GUEST, MODULES, OUT = "/guest", "/modules", f"{BUILD}/out"
INIT_SOURCE = "init.c"
# the modules that init loads and unloads by itself, those of the kernel's samples besides, and the folder of the source
# of our own
OWN_MODULES, SAMPLES, OWN_MODULES_SOURCE = ("oolong_guest.ko", "oolong_data.ko"), "samples", "module"


def commands(cell: Cell) -> tuple[tuple[str, ...], ...]:
    """Headers, init, and the program that packs them."""
    return (
        make(cell, "headers"),
        (
            *_compiler(cell),
            "-static", "-nostdlib", "-nostdinc", "-Os", "-fno-ident", "-fno-stack-protector",
            # the kernel need not have turned the vector units on
            "-mno-altivec", "-mno-vsx",
            "-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Werror",
            "-isystem", f"{BUILD}/usr/include",
            "-include", f"{SRC}/tools/include/nolibc/nolibc.h",
            "-o", f"{OUT}/init", f"{GUEST}/{INIT_SOURCE}",
            *(() if is_clang(cell) else ("-lgcc",)),
        ),
        ("gcc", "-O2", "-o", f"{OUT}/gen_init_cpio", f"{SRC}/usr/gen_init_cpio.c"),
    )  # fmt: skip


def _compiler(cell: Cell) -> tuple[str, ...]:
    """The compiler of programs for the guest; clang serves all targets, and its linker knows ELFv2 alone."""
    if not is_clang(cell):
        return (tool(cell, "gcc"),)
    return (tool(cell, "clang"), f"--target={clang_target(cell)}", "-mabi=elfv2", f"--ld-path={tool(cell, 'ld.lld')}")


def pack() -> tuple[str, ...]:
    """The command whose stdout is the archive."""
    return (f"{OUT}/gen_init_cpio", "-t", "0", f"{OUT}/contents")


def contents(modules: Sequence[str]) -> str:
    """The list that gen_init_cpio reads; `modules` are paths below MODULES.

    It has the report channels of all families, so that one archive serves all machines of a build.
    """
    channels = dict.fromkeys(family.report for family in FAMILIES.values() if family.report)
    lines = [
        "dir /dev 0755 0 0",
        "dir /proc 0555 0 0",
        "dir /sys 0555 0 0",
        "dir /tracing 0755 0 0",
        "nod /dev/console 0600 0 0 c 5 1",
        *(f"nod {channel.node} 0600 0 0 c {channel.major} {channel.minor}" for channel in channels),
        "nod /dev/kmsg 0600 0 0 c 1 11",
        f"file /init {OUT}/init 0755 0 0",
    ]
    if modules:
        lines += ["dir /lib 0755 0 0", f"file /modules.list {OUT}/modules.list 0644 0 0"]
        lines += [f"file {_inside(name)} {MODULES}/{name} 0644 0 0" for name in modules]
    return "\n".join(lines) + "\n"


def modules_list(modules: Sequence[str]) -> str:
    """What init reads to know which modules to load and keep, one path a line; less those that it loads for a test."""
    kept = [name for name in modules if PurePosixPath(name).name not in OWN_MODULES]
    return "".join(f"{_inside(name)}\n" for name in kept if SAMPLES not in PurePosixPath(name).parts)


def arguments(*, release: str, endian: str, kprobes: str, probes: Sequence[str] = ()) -> str:
    """The end of the kernel's command line: every message of init shown, and what it is to expect; `probes` are the
    functions that it puts a kprobe on by their symbol."""
    named = f" probes={','.join(probes)}" if probes else ""
    return f"printk.devkmsg=on -- release={release} endian={endian} kprobes={kprobes}{named}"


def _inside(module: str) -> str:
    return f"/lib/{module.rsplit('/', 1)[-1]}"
