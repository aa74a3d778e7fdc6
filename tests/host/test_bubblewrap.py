"""How bubblewrap is started, on this host: what it shows of itself, and which walls it takes."""

import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.doctor import GOOD, NOTE, examine
from oolong.errors import Infrastructure
from oolong.host import bubblewrap, process
from oolong.host.bubblewrap import Walls, taken
from oolong.host.sandbox import Mount, Sandbox, bwrap_options
from oolong.host.seccomp import filter_for
from tests.support import layout_in

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
# as the doctor names them
WALLS = ("process-1", "nesting", "seccomp")
SYSTEM = ("--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
EVERY = Walls(process_one_hidden=True, nesting_refused=True, system_calls=b"filter")


def inside(script: str, walls: Walls) -> str:
    with bubblewrap.ready(SYSTEM, ["sh", "-c", script], walls=walls) as start:
        done = process.run(start.argv, env=start.env, pass_fds=start.descriptors)
    return done.output.decode()


def test_this_host_takes_all_walls() -> None:
    every = Walls(process_one_hidden=True, nesting_refused=True, system_calls=filter_for(platform.machine()))
    assert bubblewrap.this_hosts() == every


def test_no_user_namespace_can_be_made_inside() -> None:
    script = "unshare --user true && echo made"
    assert inside(script, Walls()) == "made\n"
    assert "made" not in inside(script, Walls(nesting_refused=True))
    assert "made" not in inside(script, Walls(system_calls=filter_for(platform.machine())))


def test_the_command_line_shows_no_option_and_no_descriptor_is_left() -> None:
    script = "tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/1/fd/* /proc/self/fd/*"
    # what is hidden is not needed to be
    told = inside(script, replace(bubblewrap.this_hosts(), process_one_hidden=False))
    assert "bwrap --args" in told
    assert "--ro-bind" not in told
    assert "memfd" not in told


def test_bubblewrap_is_found_by_the_callers_path_which_nobody_inside_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/home/a-person/bin:{os.environ['PATH']}")
    told = inside("tr '\\0' '\\n' < /proc/1/environ", Walls())
    assert told.splitlines() == ["PATH=/usr/bin:/bin"]
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Infrastructure, match="cannot start bwrap"):
        inside("true", Walls())


# the memory of all processes but its own, which holds what is looked for, and a word written there
MEMORY = """
import os, sys
(_, looked_for) = sys.argv
for name in os.listdir("/proc"):
    if not name.isdigit() or int(name) == os.getpid():
        continue
    print("process", name, flush=True)
    try:
        areas = [line.split() for line in open(f"/proc/{name}/maps")]
        memory = open(f"/proc/{name}/mem", "r+b", 0)
    except OSError as error:
        continue
    for area, rights, *_ in areas:
        first, last = (int(one, 16) for one in area.split("-"))
        try:
            memory.seek(first)
            found = memory.read(last - first)
            if looked_for.encode() in found:
                print("found", flush=True)
            if "x" in rights:
                memory.seek(first)
                memory.write(found[:4])
                print("written", flush=True)
        except (OSError, OverflowError, ValueError):
            continue
"""


def test_the_memory_of_the_first_process_can_be_neither_read_nor_written(tmp_path: Path) -> None:
    """It names the folders of the host, and ends the sandbox with oolong."""
    folder = tmp_path / "a-persons-folder"
    folder.mkdir()
    (tmp_path / "look.py").write_text(MEMORY)
    mounts = (
        Mount(host=folder, inside="/build"),
        Mount(host=tmp_path / "look.py", inside="/look.py"),
        Mount(host=Path(sys.base_prefix), inside="/python"),
    )
    options = bwrap_options(Sandbox(rootfs=Path("/"), mounts=mounts))
    look = [f"/python/bin/{Path(sys.executable).resolve().name}", "/look.py", folder.name]

    def told(walls: Walls) -> set[str]:
        with bubblewrap.ready(options, look, walls=walls) as start:
            done = process.run(start.argv, env=start.env, pass_fds=start.descriptors)
        return set(done.output.decode().splitlines())

    this_hosts = bubblewrap.this_hosts()
    assert told(this_hosts) == {"process 1"}
    # the attack is one: it succeeds without this wall, unless the kernel forbids it by itself
    harmless = YAMA.exists() and YAMA.read_text().strip() != "0"
    in_sight = replace(this_hosts, process_one_hidden=False)
    assert told(in_sight) == {"process 1", *(() if harmless else ("found", "written"))}


def test_walls_that_a_host_does_not_take_are_left_out_one_by_one() -> None:
    assert taken(lambda walls: True, EVERY) == EVERY
    assert taken(lambda walls: not walls.nesting_refused, EVERY) == replace(EVERY, nesting_refused=False)
    assert taken(lambda walls: walls.system_calls is None, EVERY) == replace(EVERY, system_calls=None)
    assert taken(lambda walls: not walls.process_one_hidden, EVERY) == replace(EVERY, process_one_hidden=False)
    assert taken(lambda walls: walls == Walls(), EVERY) == Walls()


def test_where_nothing_starts_no_wall_is_given_up() -> None:
    """The cause may be gone a moment later."""
    assert taken(lambda walls: False, EVERY) == EVERY


def test_the_doctor_says_which_walls_this_host_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> dict[str, str]:
        return {one.name: one.status for one in examine(layout_in(tmp_path)) if one.name in WALLS}

    assert found() == dict.fromkeys(WALLS, GOOD)
    monkeypatch.setattr(bubblewrap, "this_hosts", Walls)
    assert found() == dict.fromkeys(WALLS, NOTE)
