"""The tasks `STAGE:SUBJECT`: a group for each kind of stage, a task for each build, cell, toolchain and source."""

from collections.abc import Iterator

from tasks.declare import Task, group, stage_task
from tasks.session import current

DOCS = {
    "rootfs": "unpack a toolchain's packages into the root file system of a sandbox",
    "source": "unpack or snapshot a kernel source",
    "configure": "make .config from the fragments and check every symbol that was asked for",
    "compile": "compile all objects and join them into vmlinux.o",
    "stubs": "count the patch sites of vmlinux.o and reserve their stubs",
    "audit-object": "check every patch site of vmlinux.o",
    "link": "link vmlinux with the stubs",
    "crosslink": "link again with the other stub pass, to compare",
    "modules": "build the modules of the configuration and those of the guest",
    "offsets": "find the layout of ftrace's structures by the kernel's own compiler",
    "initramfs": "build init and pack it with the modules",
    "audit-image": "check every patch site and every stub of vmlinux",
    "tree": "try how the tree builds the stubs: make again, edit the script, 32 bits, clean",
    "boot": "boot the kernel in QEMU and keep its console and memory",
    "live": "check every stub in the guest's memory, and the guest's own lists",
}


def task_stages() -> Iterator[Task]:
    for name, doc in DOCS.items():
        yield group(name, doc)
    for stage in current().stages.values():
        yield stage_task(stage)
