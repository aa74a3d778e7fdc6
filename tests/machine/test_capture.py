"""Breakpoints, memory and the thread between them, with a machine that is played by the test."""

import gc
import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from oolong.binary.elf import Symbol
from oolong.errors import BadOutput, Infrastructure
from oolong.machine.capture import Accuse, Capture, Doubt, Points, entry_of, name_of, nobody, request
from oolong.machine.family import BOOK3S64
from oolong.machine.gdbremote import INTERRUPT, INTERRUPTED, SWITCHED_OFF
from oolong.machine.memory import PAGE, Memory, Unreadable
from oolong.machine.stops import END, INIT_MEMORY, NAMES, NUMBER, OFF, ONE, QUIET

RAM = 1 << 20
LINEAR, MODULE = 0xC000000000004000, 0xC008000000010000
POINTS = Points(init=0xC000000000001000, stop=0xC000000000002000, little=False)
Player = Callable[[socket.socket], None]
# where the played machine has pt_regs, and their first argument
REGISTERS, SAVED = 0xC000000000005E80, 0xE80 + 24
PANICKED = 0x8F
CPUS = "CPU#0\nNIP c000000000001234   LR c000000000005678 CTR 0 XER 0 CPU#0"


def test_the_linear_map_is_read_by_physical_address() -> None:
    command, arguments = request(LINEAR, 2 * PAGE, ram=RAM, linear=BOOK3S64, cpu=3, filename="/memory/pages")
    assert (command, arguments) == ("pmemsave", {"val": 0x4000, "size": 2 * PAGE, "filename": "/memory/pages"})


def test_all_else_is_read_as_a_cpu_sees_it_by_a_signed_address() -> None:
    command, arguments = request(MODULE, PAGE, ram=RAM, linear=BOOK3S64, cpu=3, filename="/memory/pages")
    assert command == "memsave"
    assert (arguments["val"], arguments["cpu-index"]) == (MODULE - (1 << 64), 3)


@pytest.mark.parametrize(
    ("address", "size"),
    [
        (MODULE, RAM + PAGE),
        (1 << 64, PAGE),
        (-PAGE, PAGE),
    ],
)
def test_nothing_is_read_where_no_memory_is(address: int, size: int) -> None:
    with pytest.raises(Unreadable):
        request(address, size, ram=RAM, linear=BOOK3S64, cpu=0, filename="x")


@pytest.mark.parametrize("address", [0xC000000000000000 + RAM, 0xC000000000000000 + RAM - PAGE, 0xC0003D0000000000])
def test_what_is_no_memory_is_read_as_the_cpu_sees_it(address: int) -> None:
    """With the hash MMU and pages of 4 KiB, modules lie where the map of all memory is otherwise."""
    assert request(address, 2 * PAGE, ram=RAM, linear=BOOK3S64, cpu=2, filename="x")[0] == "memsave"


def test_without_a_linear_map_all_is_read_as_the_cpu_sees_it() -> None:
    assert request(LINEAR, PAGE, ram=RAM, linear=None, cpu=0, filename="x")[0] == "memsave"


def test_only_numbers_of_stops_have_names() -> None:
    assert [name_of(NUMBER + place) for place in range(len(NAMES))] == list(NAMES)
    assert {name_of(number) for number in (0, 1, NUMBER - 1, NUMBER + len(NAMES), LINEAR)} == {None}


@pytest.mark.parametrize(("other", "distance"), [(0, 0), (0x20, 0), (0x60, 8), (0x80, 16)])
def test_a_function_is_stopped_where_all_calls_pass(other: int, distance: int) -> None:
    assert entry_of(Symbol(0x1000, 16, 1, other)) == 0x1000 + distance


class Machine:
    """QEMU as the capture hears it: comes to the init breakpoint, then to the other with each of some values in r3, and
    then dies, or stands still with a signal, or goes on until somebody stops it."""

    def __init__(self, folder: Path, values: list[int], last: int | None = None) -> None:
        self.folder = folder
        self.values = [0, *values]
        self.last = last
        self.saved = NUMBER
        self.done: list[str] = []
        self.has_quit = threading.Event()

    def monitor(self, line: socket.socket) -> None:
        with line:
            line.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\n')
            # one command at a time comes, and is not ended by a line
            while heard := line.recv(1 << 16):
                asked = json.loads(heard)
                answer = self._do(asked["execute"], asked.get("arguments", {}))
                line.sendall(json.dumps({**answer, "id": asked.get("id")}).encode() + b"\n")

    def _do(self, command: str, arguments: dict[str, int]) -> dict[str, object]:
        if command == "qmp_capabilities":
            return {"return": {}}
        if command == "human-monitor-command":
            return {"return": CPUS}
        if command == "quit":
            self.has_quit.set()
            return {"return": {}}
        self.done.append(f"{command} {arguments['val']:#x}")
        if command == "memsave":
            return {"error": {"class": "GenericError", "desc": "Invalid addr"}}
        page = bytearray(b"m" * arguments["size"])
        page[SAVED : SAVED + 8] = self.saved.to_bytes(8, "big")
        (self.folder / "pages").write_bytes(page)
        return {"return": {}}

    def debugger(self, line: socket.socket) -> None:
        with line:
            heard = b""
            line.settimeout(0.01)
            while not self.has_quit.is_set():
                try:
                    chunk = line.recv(1 << 16)
                except TimeoutError:
                    continue
                if not chunk:
                    return
                heard += chunk
                if heard.strip(b"+") == INTERRUPT:
                    heard = b""
                    line.sendall(packet(b"T%02xthread:01;" % INTERRUPTED))
                while b"#" in heard[:-2]:
                    body, _, rest = heard.partition(b"$")[2].partition(b"#")
                    heard = rest[2:]
                    if body == b"vCont;c" and not self.values:
                        if self.last is None:
                            return
                        if self.last == INTERRUPTED:
                            line.sendall(b"+")
                            continue
                        line.sendall(b"+" + packet(b"T%02xthread:01;" % self.last))
                        continue
                    line.sendall(b"+" + self._packet(body))

    def _packet(self, body: bytes) -> bytes:
        self.done.append(body.decode())
        answer = b"OK"
        if body.startswith((b"?", b"vCont;s")):
            answer = b"T05thread:01;"
        elif body == b"vCont;c":
            self.value = self.values.pop(0)
            answer = b"T05thread:02;"
        elif body == b"g":
            answer = b"%048x%016x" % (0, self.value)
        return packet(answer)


def packet(body: bytes) -> bytes:
    return b"$%b#%02x" % (body, sum(body) % 256)


def run(capture: Capture, monitor: Player, debugger: Player) -> None:
    """Play a machine until its debugger's part is over, or the capture gives up; then all of it ends."""
    fds = (capture.monitor_fd, capture.debugger_fd)
    parts = [
        threading.Thread(target=play, args=(socket.socket(fileno=os.dup(fd)),), daemon=True)
        for play, fd in zip((monitor, debugger), fds, strict=True)
    ]
    for part in parts:
        part.start()
    while parts[1].is_alive() and not capture.failed:
        parts[1].join(0.01)


def touch(name: str, memory: Memory) -> None:
    memory.read(LINEAR, 8)
    with suppress(Unreadable):
        memory.read(MODULE, 8)


def captured(
    machine: Machine,
    visit: Callable[[str, Memory], None] = touch,
    *,
    points: Points | None = POINTS,
    accuse: Accuse = nobody,
    wanted: Callable[[Capture], object] = str,
) -> Capture:
    """What became of a machine that ran to its end; `wanted` asks for something as it starts."""
    with Capture(
        machine.folder, seen_as="/memory", ram=RAM, linear=BOOK3S64, points=points, visit=visit, accuse=accuse
    ) as capture:
        wanted(capture)
        run(capture, machine.monitor, machine.debugger)
    return capture


def stops(capture: Capture) -> list[str]:
    return [snapshot.name for snapshot in capture.snapshots]


def test_the_guest_is_looked_at_once_at_each_stop(tmp_path: Path) -> None:
    """The number is in r3, or in what r3 points at; other callers are let pass."""
    machine = Machine(tmp_path, [NUMBER + 1, NUMBER + 1, 1, REGISTERS, NUMBER + 99])
    capture = captured(machine)
    assert [snapshot.name for snapshot in capture.snapshots] == [INIT_MEMORY, ONE, OFF]
    assert [list(snapshot.pages) for snapshot in capture.snapshots] == [[LINEAR]] * 3
    assert capture.snapshots[0].pages[LINEAR] is capture.snapshots[1].pages[LINEAR]
    assert not (tmp_path / "pages").exists()
    breakpoints = [done for done in machine.done if done[0] in "Zzv"]
    init, stop = f"0,{POINTS.init:x},4", f"0,{POINTS.stop:x},4"
    assert breakpoints[:5] == [f"Z{init}", "vCont;c", f"z{init}", f"Z{stop}", "vCont;c"]
    assert breakpoints[5:9] == [f"z{stop}", "vCont;s:2", f"Z{stop}", "vCont;c"]


def test_a_machine_that_ends_at_once_leaves_nothing(tmp_path: Path) -> None:
    # what earlier tests left to the garbage collector must not be closed in between
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    capture = Capture(tmp_path, seen_as="/memory", ram=RAM, linear=BOOK3S64, points=POINTS, visit=touch)
    with capture:
        pass
    assert capture.snapshots == []
    assert len(os.listdir("/proc/self/fd")) == before


class Shady(Machine):
    """A QEMU that leaves something else than a file of memory where it was told to write one."""

    def _do(self, command: str, arguments: dict[str, int]) -> dict[str, object]:
        answer = super()._do(command, arguments)
        pages = self.folder / "pages"
        if pages.exists():
            pages.unlink()
            (pages / "inside").mkdir(parents=True)
        return answer


def test_a_folder_in_the_place_of_memory_is_nothing_to_read(tmp_path: Path) -> None:
    def look(name: str, memory: Memory) -> None:
        with pytest.raises(BadOutput, match="pages is no plain file"):
            memory.read(LINEAR, 8)

    capture = captured(Shady(tmp_path, [NUMBER + 1, REGISTERS]), look)
    assert stops(capture) == [INIT_MEMORY, ONE]
    assert not (tmp_path / "pages").exists()


def test_what_goes_wrong_in_a_look_is_raised_in_the_end(tmp_path: Path) -> None:
    def fail(name: str, memory: Memory) -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        captured(Machine(tmp_path, []), fail)


def test_a_monitor_that_makes_no_sense_is_infrastructure(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [])

    def babble(line: socket.socket) -> None:
        with line:
            line.sendall(b"good morning\n")

    machine.monitor = babble  # type: ignore[method-assign]
    with pytest.raises(Infrastructure, match="monitor does not make sense"):
        captured(machine)


LAST = NUMBER + NAMES.index(QUIET)


def test_a_guest_that_switches_its_machine_off_after_its_last_point_is_not_looked_at_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [LAST], SWITCHED_OFF)
    capture = captured(machine)
    assert stops(capture) == [INIT_MEMORY, QUIET]
    assert machine.has_quit.is_set()
    assert capture.registers == ""


@pytest.mark.parametrize(
    ("values", "signal"),
    [([NUMBER], SWITCHED_OFF), ([NUMBER], PANICKED), ([LAST], PANICKED)],
    ids=["reset", "panic", "panic after its last point"],
)
def test_of_a_guest_that_dies_there_is_a_last_picture(tmp_path: Path, values: list[int], signal: int) -> None:
    """And where its CPUs were."""
    machine = Machine(tmp_path, values, signal)
    capture = captured(machine)
    assert stops(capture)[-1] == END
    assert stops(capture).count(END) == 1
    assert list(capture.snapshots[-1].pages) == [LINEAR]
    assert capture.registers == CPUS
    assert machine.has_quit.is_set()


def test_a_machine_whose_time_is_up_is_stopped_and_has_a_last_picture(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [NUMBER], INTERRUPTED)
    capture = captured(machine, wanted=Capture.end)
    assert stops(capture) == [INIT_MEMORY, OFF, END]
    assert machine.has_quit.is_set()


def test_a_machine_that_does_not_end_when_it_is_asked_to_need_not_be_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = Capture(tmp_path, seen_as="/memory", ram=RAM, linear=BOOK3S64, points=POINTS, visit=touch)
    assert not capture.end()
    monkeypatch.setattr("oolong.machine.capture.END_SECONDS", 0.0)
    assert capture.end()


def test_a_guest_in_doubt_with_wrong_memory_ends_with_what_is_wrong(tmp_path: Path) -> None:
    def accuse(memory: Memory) -> list[str]:
        memory.read(LINEAR, 8)
        return ["live.stub-words: wrong"]

    machine = Machine(tmp_path, [NUMBER], INTERRUPTED)
    capture = captured(machine, accuse=accuse, wanted=lambda capture: capture.doubt(Doubt.STALLED))
    assert stops(capture) == [INIT_MEMORY, OFF, END]
    assert capture.accused == ("live.stub-words: wrong",)
    assert (capture.registers, machine.has_quit.is_set()) == (CPUS, True)


def test_a_guest_in_doubt_with_nothing_wrong_goes_on_and_is_asked_once_for_each_reason(tmp_path: Path) -> None:
    asked = []

    def accuse(memory: Memory) -> list[str]:
        asked.append(memory)
        return []

    def wanted(capture: Capture) -> None:
        capture.doubt(Doubt.SILENT)
        threading.Thread(target=end_after, args=(capture,)).start()

    def end_after(capture: Capture) -> None:
        while not asked:
            pass
        for _ in range(2):
            capture.doubt(Doubt.STALLED)
        while len(asked) < 2:
            pass
        capture.end()

    machine = Machine(tmp_path, [NUMBER], INTERRUPTED)
    capture = captured(machine, accuse=accuse, wanted=wanted)
    assert len(asked) == 2
    assert (stops(capture), capture.accused) == ([INIT_MEMORY, OFF, END], ())


def test_a_machine_that_has_no_points_ends_without_a_picture(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [], SWITCHED_OFF)
    machine.values = []
    capture = captured(machine, lambda name, memory: None, points=None)
    assert (stops(capture), machine.has_quit.is_set()) == ([], True)
