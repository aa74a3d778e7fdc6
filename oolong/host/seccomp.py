"""The filter of system calls that bubblewrap loads (pure): what no build, QEMU or git needs is refused to all inside.

A classic BPF program over `struct seccomp_data` (include/uapi/linux/seccomp.h, filter.h, audit.h of Linux). All tests
look at the low half of an argument, as the kernel does with each of these: its types there have 32 bits.
"""

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# offsets in struct seccomp_data, of a little-endian machine
NUMBER, ARCHITECTURE, ARGUMENTS, ARGUMENT_SIZE = 0, 4, 16, 8
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
# the second set of numbers that an x86-64 kernel may know
X32_BIT = 0x40000000

# CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; the first is no flag of clone
NAMESPACES = 0x7E020000
# characters put into the terminal's input, and the console's selection
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: the network namespace holds them; others (vsock, Bluetooth, the kernel's own
# cryptography) reach the host or its code
FAMILIES = (1, 2, 10, 16)
# S_ISUID, S_ISGID: a file with them runs as its owner, who is the person outside
AS_OWNER = 0o6000
# O_CREAT, __O_TMPFILE: without them, open is given no mode
MAKES_FILE = 0o20000100

# system call → its number on x86-64 and on aarch64, None where there is none
NUMBERS: Mapping[str, tuple[int, int | None]] = {
    # other programs' memory and descriptors
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # keys of the user, which no namespace holds
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # code and counters in the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "open_by_handle_at": (304, 265),
    "modify_ldt": (154, None),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    # the machine itself
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "uselib": (134, None),
    # programs go on without these when there are none: libc with clone, whose flags can be seen
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # its mode lies in memory, where no filter looks
    "openat2": (437, 437),
    # refused by their arguments
    "clone": (56, 220),
    "ioctl": (16, 29),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "creat": (85, None),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "open": (2, None),
    "openat": (257, 56),
}
ABSENT = frozenset(("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "openat2"))
# which argument of a call is a mode
MODES: Mapping[str, int] = {
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "creat": 1,
    "mknod": 1,
    "mknodat": 2,
    "open": 2,
    "openat": 3,
}
# of those that make a file only if they are asked to, which one says so
ASKED: Mapping[str, int] = {"open": 1, "openat": 2}
BY_ARGUMENT = frozenset(("clone", "ioctl", "socket", "socketpair", *MODES))

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A machine by its name in NUMBERS' order, and its AUDIT_ARCH_ number."""

    column: int
    audit: int


ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": Architecture(column=0, audit=0xC000003E),
    "aarch64": Architecture(column=1, audit=0xC00000B7),
}


def filter_for(machine: str) -> bytes | None:
    """The program for a machine as uname names it; None for one whose numbers are not known here."""
    architecture = ARCHITECTURES.get(machine)
    return None if architecture is None else assembled(_program(architecture))


def assembled(program: Sequence[Instruction]) -> bytes:
    """An array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _program(architecture: Architecture) -> list[Instruction]:
    # a program of another architecture has other numbers: it ends at its first system call
    program: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32_BIT),
        _refused(errno.ENOSYS),
    ]
    for name, numbers in NUMBERS.items():
        number = numbers[architecture.column]
        if number is None:
            continue
        block = _by_argument(name) if name in BY_ARGUMENT else [_refused(_error_of(name))]
        program += [(EQUAL, 0, len(block), number), *block]
    return [*program, (RETURN, 0, 0, ALLOW)]


def _by_argument(name: str) -> list[Instruction]:
    """What follows the match of a call's number: refused by one argument, or allowed."""
    if name == "clone":
        return [_load(0), (ANY_BIT, 0, 1, NAMESPACES), _refused(errno.EPERM), (RETURN, 0, 0, ALLOW)]
    if name == "ioctl":
        looks = [one for request in (TIOCSTI, TIOCLINUX) for one in ((EQUAL, 0, 1, request), _refused(errno.EPERM))]
        return [_load(1), *looks, (RETURN, 0, 0, ALLOW)]
    if name in MODES:
        asked = [_load(ASKED[name]), (ANY_BIT, 1, 0, MAKES_FILE), (RETURN, 0, 0, ALLOW)] if name in ASKED else []
        mode = [_load(MODES[name]), (ANY_BIT, 0, 1, AS_OWNER), _refused(errno.EPERM)]
        return [*asked, *mode, (RETURN, 0, 0, ALLOW)]
    known = [one for family in FAMILIES for one in ((EQUAL, 0, 1, family), (RETURN, 0, 0, ALLOW))]
    return [_load(0), *known, _refused(errno.EAFNOSUPPORT)]


def _load(argument: int) -> Instruction:
    return (LOAD, 0, 0, ARGUMENTS + ARGUMENT_SIZE * argument)


def _refused(number: int) -> Instruction:
    return (RETURN, 0, 0, REFUSE | number)


def _error_of(name: str) -> int:
    return errno.ENOSYS if name in ABSENT else errno.EPERM
