"""How bubblewrap is started, on this host: what it shows of itself, and which walls it takes."""

import platform
from pathlib import Path

import pytest

from oolong.doctor import GOOD, NOTE, examine
from oolong.host import bubblewrap, process
from oolong.host.bubblewrap import Walls, taken
from oolong.host.seccomp import filter_for
from tests.support import layout_in

SYSTEM = ("--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
EVERY = Walls(nesting_refused=True, system_calls=b"filter")


def inside(script: str, walls: Walls) -> str:
    with bubblewrap.ready(SYSTEM, ["sh", "-c", script], walls=walls) as start:
        done = process.run(start.argv, env=start.env, pass_fds=start.descriptors)
    return done.output.decode()


def test_this_host_takes_all_walls() -> None:
    assert bubblewrap.this_hosts() == Walls(nesting_refused=True, system_calls=filter_for(platform.machine()))


def test_no_user_namespace_can_be_made_inside() -> None:
    script = "unshare --user true && echo made"
    assert inside(script, Walls()) == "made\n"
    assert "made" not in inside(script, Walls(nesting_refused=True))
    assert "made" not in inside(script, Walls(system_calls=filter_for(platform.machine())))


def test_the_command_line_shows_no_option_and_no_descriptor_is_left() -> None:
    script = "tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/1/fd/* /proc/self/fd/*"
    told = inside(script, bubblewrap.this_hosts())
    assert "--ro-bind" not in told
    assert "memfd" not in told


def test_walls_that_a_host_does_not_take_are_left_out_one_by_one() -> None:
    assert taken(lambda walls: True, EVERY) == EVERY
    assert taken(lambda walls: not walls.nesting_refused, EVERY) == Walls(system_calls=b"filter")
    assert taken(lambda walls: walls.system_calls is None, EVERY) == Walls(nesting_refused=True)
    assert taken(lambda walls: walls == Walls(), EVERY) == Walls()


def test_where_nothing_starts_no_wall_is_given_up() -> None:
    """The cause may be gone a moment later."""
    assert taken(lambda walls: False, EVERY) == EVERY


def test_the_doctor_says_which_walls_this_host_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> dict[str, str]:
        return {one.name: one.status for one in examine(layout_in(tmp_path)) if one.name in ("nesting", "seccomp")}

    assert found() == {"nesting": GOOD, "seccomp": GOOD}
    monkeypatch.setattr(bubblewrap, "this_hosts", Walls)
    assert found() == {"nesting": NOTE, "seccomp": NOTE}
