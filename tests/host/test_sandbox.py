"""The argv is pure; what it does is tried on the host's own /usr with a real bwrap."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.engine.stage import Outcome, Work
from oolong.host import bubblewrap
from oolong.host.sandbox import BASE_ENV, Mount, Ran, Sandbox, bwrap_argv
from oolong.stages.sandboxed import run
from oolong.supply import git
from tests.support import stage_of, work_of

# the environment of every process inside, a variable a line; a process may be gone when it is its turn
EVERY_ENVIRONMENT = "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"


def inside(script: str, *, mounts: tuple[Mount, ...] = (), env: dict[str, str] | None = None) -> str:
    sandbox = Sandbox(rootfs=Path("/"), mounts=mounts, env=env or {})
    done = subprocess.run(bwrap_argv(sandbox, ["sh", "-c", script]), capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_argv_names_every_mount_and_ends_with_the_command() -> None:
    sandbox = Sandbox(
        rootfs=Path("/cache/root"),
        mounts=(Mount(host=Path("/a b"), inside="/src"), Mount(host=Path("/o"), inside="/build", writable=True)),
        env={"X": "1"},
        chdir="/src",
    )
    argv = bwrap_argv(sandbox, ["make", "all"])
    words = " ".join(argv)
    assert argv[0] == "bwrap"
    assert argv[-3:] == ["--", "make", "all"]
    assert "--ro-bind /a b /src" in words
    assert "--bind /o /build" in words
    assert "--setenv X 1" in words
    assert argv.index("--remount-ro") > argv.index("/build")


def test_environment_is_only_what_is_given() -> None:
    names = {line.partition("=")[0] for line in inside("env", env={"X": "1"}).splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "HOME", "LC_ALL", "TZ", "X"}


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    return "hunter2"


def variables(text: str) -> set[str]:
    return {line.partition("=")[0] for line in text.splitlines() if line}


def work_in(folder: Path) -> Work:
    return work_of(stage_of("one", lambda work: Outcome()), folder)


@pytest.fixture
def process_one_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host that does not take this wall."""
    walls = replace(bubblewrap.this_hosts(), process_one_hidden=False)
    monkeypatch.setattr(bubblewrap, "this_hosts", lambda: walls)


@pytest.mark.usefixtures("process_one_in_sight")
def test_no_process_inside_has_the_callers_environment(tmp_path: Path, secret: str) -> None:
    """Process 1 is bwrap itself: what it was started with can be read there."""
    argv = ["sh", "-c", f"test -r /proc/1/environ && {EVERY_ENVIRONMENT}"]
    done = run(work_in(tmp_path), Sandbox(rootfs=Path("/")), argv)
    assert done.ok, done.lines
    told = "\n".join(done.lines)
    assert secret not in told
    assert variables(told) - {"PWD", "SHLVL", "_", "OLDPWD"} == set(BASE_ENV)


def test_proc_shows_nothing_of_the_caller_and_of_the_cache_the_mounts_alone(tmp_path: Path, secret: str) -> None:
    """All files and links of /proc. The kernel shows where a bind mount comes from, and nothing hides that."""
    cache = tmp_path / "a-persons-cache"
    looked_for = tmp_path / "looked-for"
    cache.mkdir()
    looked_for.write_text(f"{secret}\n{cache.name}\n")
    mounts = (Mount(host=cache, inside="/src"), Mount(host=looked_for, inside="/looked-for"))
    # pagemap and kpage* have numbers of pages alone, and of the former one for each page of an address space
    script = (
        "grep --recursive --text --only-matching --no-messages --devices=skip --exclude='*page*' --fixed-strings"
        " --file=/looked-for /proc;"
        " find /proc -type l -printf 'link %p:%l\\n' 2>/dev/null | grep --fixed-strings --file=/looked-for; echo over"
    )
    done = run(work_in(tmp_path), Sandbox(rootfs=Path("/"), mounts=mounts), ["sh", "-c", script], timeout=60)
    assert done.lines[-1] == "over"
    found = {tuple(line.rsplit(":", 1)) for line in done.lines[:-1]}
    assert {place.rpartition("/")[2] for place, _ in found} == {"mountinfo"}
    assert {what for _, what in found} == {cache.name}


@pytest.mark.usefixtures("process_one_in_sight")
@pytest.mark.parametrize("network", [False, True])
def test_no_process_beside_git_has_the_callers_environment(
    monkeypatch: pytest.MonkeyPatch, secret: str, network: bool
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    alias = f"alias.look=!test -r /proc/1/environ && {EVERY_ENVIRONMENT}"
    done = git.run(["-c", alias, "look"], mounts=(), where="here", network=network)
    told = done.output.decode()
    assert done.ok, told
    assert secret not in told
    assert ("https_proxy=http://proxy.example:3128" in told.splitlines()) is network
    seen = variables(told) - {"PWD", "SHLVL", "_", "OLDPWD", "https_proxy"}
    assert {name for name in seen if not name.startswith("GIT_")} == {"PATH", "HOME", "LC_ALL"}


def test_user_and_host_name_are_fixed() -> None:
    assert inside("id -u; id -g; uname -n").split() == ["1000", "1000", "build"]


def test_there_is_no_network() -> None:
    assert inside("cat /proc/net/route | tail -n +2; cat /proc/net/dev | grep -v -e lo: -e '|'").strip() == ""


def test_the_host_is_out_of_sight_and_the_root_read_only(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    assert "No such file" in inside(f"cat '{secret}'")
    assert "Read-only" in inside("touch /new")
    assert "Read-only" in inside("touch /usr/new")


def test_a_read_only_mount_cannot_be_written(tmp_path: Path) -> None:
    mount = Mount(host=tmp_path, inside="/src")
    assert "Read-only" in inside("touch /src/new", mounts=(mount,))
    assert list(tmp_path.iterdir()) == []


def test_a_writable_mount_keeps_what_is_written_as_ours(tmp_path: Path) -> None:
    inside("echo made > /build/new", mounts=(Mount(host=tmp_path, inside="/build", writable=True),))
    assert (tmp_path / "new").read_text() == "made\n"
    assert (tmp_path / "new").stat().st_uid == os.getuid()


def test_the_last_words_of_a_command_are_its_last_lines() -> None:
    ran = Ran(returncode=1, timed_out=False, lines=("one", "two", "three", "four"))
    assert ran.last_words == "two / three / four"
    assert replace(ran, lines=()).last_words == ""
