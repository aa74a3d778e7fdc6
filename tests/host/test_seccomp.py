"""The filter as a program, run by a small interpreter on calls that it must refuse, and as the kernel runs it."""

import errno
import platform
import re
import struct
import sys
from pathlib import Path

import pytest

from oolong.host import bubblewrap, process
from oolong.host.bubblewrap import Walls
from oolong.host.sandbox import Mount, Sandbox, bwrap_options
from oolong.host.seccomp import ARCHITECTURES, BY_ARGUMENT, NUMBERS, X32_BIT, filter_for
from tests.checkout import root_with

ALLOWED, KILLED = "allowed", "killed"
HIGH = 1 << 32
READ = {"x86_64": 0, "aarch64": 63}
I386, ARM = 0x40000003, 0x40000028
USER_NAMESPACE, THREAD = 0x10000000, 0x003D0F00
VSOCK = 40


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None) -> str | int:
    """What the filter of a machine says of a call: ALLOWED, KILLED, or an error number. Classic BPF, as far as it is
    used: include/uapi/linux/bpf_common.h."""
    program = filter_for(machine)
    assert program
    words = [struct.unpack("=HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    audit = ARCHITECTURES[machine].audit if audit is None else audit
    data = struct.pack("<IIQ6Q", number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    accumulator = at = 0
    while True:
        code, if_true, if_false, operand = map(int, words[at])
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x45:
                at += if_true if accumulator & operand else if_false
            case 0x06:
                if operand >> 16 == 5:
                    return operand & 0xFFFF
                return ALLOWED if operand == 0x7FFF0000 else KILLED
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


def number_of(name: str, machine: str) -> int:
    number = NUMBERS[name][ARCHITECTURES[machine].column]
    assert number is not None
    return number


@pytest.fixture(params=sorted(ARCHITECTURES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", sorted({*NUMBERS} - BY_ARGUMENT))
def test_a_call_that_nobody_needs_is_refused(name: str, machine: str) -> None:
    if NUMBERS[name][ARCHITECTURES[machine].column] is not None:
        assert verdict(machine, number_of(name, machine)) in (errno.EPERM, errno.ENOSYS)


def test_all_else_is_allowed(machine: str) -> None:
    refused = {numbers[ARCHITECTURES[machine].column] for numbers in NUMBERS.values()}
    assert {verdict(machine, number) for number in range(470) if number not in refused} == {ALLOWED}


def test_namespaces_are_refused_and_processes_are_not(machine: str) -> None:
    clone = number_of("clone", machine)
    assert verdict(machine, clone, THREAD) == ALLOWED
    assert verdict(machine, clone, USER_NAMESPACE) == errno.EPERM
    assert verdict(machine, clone, USER_NAMESPACE | THREAD | HIGH) == errno.EPERM


def test_nothing_is_put_into_a_terminal(machine: str) -> None:
    """The kernel looks at the low half of a request: a filter that looked at all of it could be passed."""
    ioctl = number_of("ioctl", machine)
    assert verdict(machine, ioctl, 0, 0x5401) == ALLOWED
    for request in (0x5412, 0x541C):
        assert verdict(machine, ioctl, 0, request) == errno.EPERM
        assert verdict(machine, ioctl, 0, HIGH | request) == errno.EPERM


@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_sockets_are_of_the_kinds_that_a_namespace_holds(call: str, machine: str) -> None:
    number = number_of(call, machine)
    assert {verdict(machine, number, family) for family in (1, 2, 10, 16)} == {ALLOWED}
    assert {verdict(machine, number, family) for family in (17, 31, 38, VSOCK, 44)} == {errno.EAFNOSUPPORT}


# a call and what comes before its mode: flags of open that make a file, with O_CREAT or O_TMPFILE
MAKES: dict[str, list[tuple[int, ...]]] = {
    "chmod": [(0,)],
    "fchmod": [(0,)],
    "fchmodat": [(0, 0)],
    "fchmodat2": [(0, 0)],
    "creat": [(0,)],
    "mknod": [(0,)],
    "mknodat": [(0, 0)],
    "open": [(0, 0o101), (0, 0o20200002)],
    "openat": [(0, 0, 0o101), (0, 0, 0o20200002)],
}


@pytest.mark.parametrize(("call", "before"), [(call, before) for call, every in MAKES.items() for before in every])
def test_no_file_is_made_that_runs_as_its_owner(call: str, before: tuple[int, ...], machine: str) -> None:
    if NUMBERS[call][ARCHITECTURES[machine].column] is None:
        return
    number = number_of(call, machine)
    assert {verdict(machine, number, *before, mode) for mode in (0, 0o644, 0o755, 0o1777)} == {ALLOWED}
    assert {verdict(machine, number, *before, mode) for mode in (0o4755, 0o2755, 0o6000, HIGH | 0o4711)} == {
        errno.EPERM
    }


def test_open_without_a_file_to_make_has_no_mode(machine: str) -> None:
    """Whatever lies in the register then."""
    assert verdict(machine, number_of("openat", machine), 0, 0, 0, 0o7777) == ALLOWED
    assert verdict(machine, number_of("openat2", machine), 0, 0, 0, 0) == errno.ENOSYS


def test_calls_by_other_numbers_are_no_way_round(machine: str) -> None:
    assert verdict(machine, READ[machine]) == ALLOWED
    assert verdict(machine, READ[machine] | X32_BIT) == errno.ENOSYS
    assert verdict(machine, READ[machine], audit=I386) == KILLED
    assert verdict(machine, READ[machine], audit=ARM) == KILLED


def test_a_machine_whose_numbers_are_not_known_has_no_filter() -> None:
    assert filter_for("riscv64") is None


def test_the_numbers_are_those_of_the_kernels_headers(tool_cache: Path) -> None:
    generic, x86 = "include/asm-generic/unistd.h", "include/x86_64-linux-gnu/asm/unistd_64.h"
    root = root_with(generic, x86)
    for column, header in enumerate((x86, generic)):
        known = dict(re.findall(r"^#define __NR_(\w+)\s+(\d+)$", (root / header).read_text(), re.MULTILINE))
        ours = {name: str(numbers[column]) for name, numbers in NUMBERS.items() if numbers[column] is not None}
        assert {name: known.get(name) for name in ours} == ours


CALLS = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
for number, *arguments in CASES:
    ctypes.set_errno(0)
    libc.syscall(number, *arguments)
    print(ctypes.get_errno())
try:
    socket.socket(VSOCK, socket.SOCK_STREAM)
except OSError as error:
    print(error.errno)
os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {})
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


MAKING = """
import ctypes, os
for make in (
    lambda: os.chmod("file", 0o4755),
    lambda: os.fchmod(os.open("file", os.O_RDONLY), 0o2755),
    lambda: os.chmod("file", 0o6755, dir_fd=os.open(".", os.O_RDONLY)),
    lambda: os.open("opened", os.O_CREAT | os.O_WRONLY, 0o4755),
    lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755),
    lambda: os.mknod("made", 0o104755),
):
    try:
        make()
        print("made")
    except OSError as error:
        print(error.errno)
ctypes.CDLL(None).creat(b"created", 0o6755)
os.chmod("file", 0o1711)
os.close(os.open("plain", os.O_CREAT | os.O_WRONLY, 0o711))
"""


def test_what_a_build_leaves_runs_as_nobody_but_its_user(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    python = Mount(host=Path(sys.base_prefix), inside="/python")
    mounts = (python, Mount(host=tmp_path, inside="/build", writable=True))
    options = bwrap_options(Sandbox(rootfs=Path("/"), mounts=mounts, chdir="/build"))
    command = [f"/python/bin/{Path(sys.executable).resolve().name}", "-c", MAKING]
    with bubblewrap.ready(options, command) as start:
        done = process.run(start.argv, env=start.env, pass_fds=start.descriptors)
    assert done.output.split() == [str(errno.EPERM).encode()] * 6
    assert {path.name: path.stat().st_mode & 0o7777 for path in tmp_path.iterdir()} == {"file": 0o1711, "plain": 0o711}


def test_the_kernel_refuses_what_the_filter_says() -> None:
    machine = platform.machine()
    asked = ("keyctl", "bpf", "perf_event_open", "userfaultfd", "ptrace", "clone3", "io_uring_setup", "mount", "setns")
    cases = [(number_of(name, machine), 0) for name in asked]
    cases += [(number_of("unshare", machine), USER_NAMESPACE)]
    expected = [verdict(machine, number, argument) for number, argument in cases]
    program = CALLS.replace("CASES", repr(cases)).replace("VSOCK", str(VSOCK))
    python = Mount(host=Path(sys.base_prefix), inside="/python")
    options = bwrap_options(Sandbox(rootfs=Path("/"), mounts=(python,)))
    walls = Walls(system_calls=filter_for(machine))
    command = [f"/python/bin/{Path(sys.executable).resolve().name}", "-c", program]
    with bubblewrap.ready(options, command, walls=walls) as start:
        done = process.run(start.argv, env=start.env, pass_fds=start.descriptors)
    assert done.output.split() == [str(number).encode() for number in (*expected, errno.EAFNOSUPPORT, 7)]
