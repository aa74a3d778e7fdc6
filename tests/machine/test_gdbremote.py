"""A debugger that talks to a machine which answers well, badly, or no more."""

import socket
from collections.abc import Iterator

import pytest

from oolong.errors import Infrastructure
from oolong.machine.gdbremote import ATTEMPTS, INTERRUPTED, LARGEST, Debugger, Gone, Stop


@pytest.fixture
def lines() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the machine's."""
    ours, machines = socket.socketpair()
    with ours, machines:
        machines.setblocking(False)
        yield ours, machines


Lines = tuple[socket.socket, socket.socket]


def packet(body: bytes) -> bytes:
    return b"$%b#%02x" % (body, sum(body) % 256)


def answers(lines: Lines, *sent: bytes) -> Debugger:
    """A debugger at whose other end all answers are given already, in order."""
    lines[1].sendall(b"".join(sent))
    return Debugger(lines[0])


def said(lines: Lines) -> bytes:
    return lines[1].recv(1 << 16)


def test_a_stop_names_the_signal_and_the_cpu(lines: Lines) -> None:
    debugger = answers(lines, b"+", packet(b"T05thread:03;"))
    assert debugger.attach() == Stop(5, 3)
    assert said(lines) == b"$?#3f+"


def test_breakpoints_are_set_and_removed_by_address(lines: Lines) -> None:
    debugger = answers(lines, b"+", packet(b"OK"), b"+", packet(b"OK"))
    debugger.insert(0xC000000000640A14)
    debugger.remove(0xC000000000640A14)
    assert said(lines) == packet(b"Z0,c000000000640a14,4") + b"+" + packet(b"z0,c000000000640a14,4") + b"+"


def test_a_breakpoint_that_is_refused_is_infrastructure(lines: Lines) -> None:
    with pytest.raises(Infrastructure, match="answered Z0,10,4 with b'E22'"):
        answers(lines, b"+", packet(b"E22")).insert(0x10)


def test_a_register_is_one_of_all_of_them(lines: Lines) -> None:
    registers = b"".join(b"%016x" % number for number in range(40))
    debugger = answers(lines, b"+", packet(b"OK"), b"+", packet(registers))
    assert debugger.register(3, thread=10) == bytes([0, 0, 0, 0, 0, 0, 0, 3])
    assert said(lines) == packet(b"Hga") + b"+" + packet(b"g") + b"+"


@pytest.mark.parametrize("registers", [b"00" * 20, b"zz" * 64, b"E01"])
def test_registers_that_are_none_are_infrastructure(lines: Lines, registers: bytes) -> None:
    with pytest.raises(Infrastructure, match="does not make sense"):
        answers(lines, b"+", packet(b"OK"), b"+", packet(registers)).register(3, thread=1)


def test_one_cpu_steps_while_the_others_stand(lines: Lines) -> None:
    answers(lines, b"+", packet(b"T05thread:04;")).step(4)
    assert said(lines) == packet(b"vCont;s:4") + b"+"


def never() -> bool:
    return False


@pytest.mark.parametrize("signal", [3, 5, 0x8F])
def test_a_machine_runs_until_it_stands_still_for_whatever_reason(lines: Lines, signal: int) -> None:
    """A breakpoint, a power-off, a panic."""
    debugger = answers(lines, b"+", packet(b"T%02xthread:02;" % signal))
    assert debugger.go(never) == Stop(signal, 2)
    assert said(lines) == packet(b"vCont;c") + b"+"


def test_a_machine_that_runs_is_stopped_once_when_somebody_wants_it(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oolong.machine.gdbremote.ASK_SECONDS", 0.01)
    asked = []

    def wanted() -> bool:
        asked.append(True)
        if len(asked) == 2:
            lines[1].sendall(b"+" + packet(b"T02thread:01;"))
        return len(asked) > 1

    assert Debugger(lines[0]).go(wanted) == Stop(INTERRUPTED, 1)
    assert said(lines) == packet(b"vCont;c") + b"\x03+"


def test_a_packet_that_came_damaged_is_asked_for_again(lines: Lines) -> None:
    debugger = answers(lines, b"+$T05thread:02;#00", packet(b"T05thread:02;"))
    assert debugger.attach() == Stop(5, 2)
    assert said(lines) == b"$?#3f-+"


def test_a_packet_that_is_damaged_each_time_is_infrastructure(lines: Lines) -> None:
    with pytest.raises(Infrastructure, match="does not make sense"):
        answers(lines, b"+", ATTEMPTS * b"$OK#00").attach()


def test_what_the_machine_did_not_understand_is_said_again(lines: Lines) -> None:
    debugger = answers(lines, b"-+", packet(b"T05thread:02;"))
    assert debugger.attach() == Stop(5, 2)
    assert said(lines) == b"$?#3f$?#3f+"


@pytest.mark.parametrize("noise", [b"-" * 100, b"x" * (LARGEST + 1), b"$" + b"0" * (LARGEST + 1), b"\0\xff$OK#9a"])
def test_garbage_is_infrastructure(lines: Lines, noise: bytes) -> None:
    with pytest.raises(Infrastructure, match="does not make sense"):
        answers(lines, noise).attach()


@pytest.mark.parametrize("last", [b"", b"+", b"+$T05thr", packet(b"W00"), packet(b"X09")])
def test_a_machine_that_ends_is_gone(lines: Lines, last: bytes) -> None:
    debugger = answers(lines, last)
    lines[1].shutdown(socket.SHUT_WR)
    with pytest.raises(Gone):
        debugger.go(never)


def test_nothing_can_be_said_to_a_machine_that_is_gone(lines: Lines) -> None:
    lines[1].close()
    with pytest.raises(Gone):
        Debugger(lines[0]).attach()


def test_a_machine_that_does_not_answer_is_infrastructure(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oolong.machine.gdbremote.REPLY_SECONDS", 0.01)
    with pytest.raises(Infrastructure, match="silent"):
        Debugger(lines[0]).attach()
