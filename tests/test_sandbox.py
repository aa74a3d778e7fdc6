"""The argv is pure; what it does is tried on the host's own /usr with a real bwrap."""

import os
import subprocess
from pathlib import Path

from oolong.sandbox import Mount, Sandbox, bwrap_argv


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
