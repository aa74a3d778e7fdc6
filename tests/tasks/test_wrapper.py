"""./doit itself: what it checks, installs, makes and leaves alone, with stand-ins for the host's tools."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import CHECKOUT

REAL = ("bash", "cat", "cmp", "dirname", "env", "find", "flock", "readlink", "rm", "true")


class Host:
    """A machine with a PATH of its own: real tools by link, the others as scripts that write down their argv."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.calls.touch()
        self.checkout = folder / "a checkout"
        self.checkout.mkdir()
        shutil.copy2(CHECKOUT / "doit", self.checkout / "doit")
        (self.checkout / "requirements.lock").write_text("locked==1\n")
        for package in ("oolong", "tasks"):
            (self.checkout / package).mkdir()
            (self.checkout / package / "module.py").touch()
        (self.checkout / "dodo.py").touch()
        for name in REAL:
            found = shutil.which(name)
            assert found
            (self.bin / name).symlink_to(found)
        for name in ("bwrap", "dpkg-deb", "setpriv", "git", "apt-get"):
            self.stand_in(name, "")
        # `python3 -m venv DIR` makes an interpreter that writes down what it is asked
        self.stand_in(
            "python3",
            'if [[ "$*" == "-m venv"* ]]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi',
        )
        for name in ("mkdir", "cp"):
            self.real(name)

    def real(self, name: str) -> None:
        found = shutil.which(name)
        assert found
        (self.bin / name).symlink_to(found)

    def stand_in(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> "{self.calls}"\n{script}\n')
        path.chmod(0o755)

    def doit(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "HOME": "/nowhere"}
        argv = [str(self.checkout / "doit"), *words]
        return subprocess.run(argv, env=environment, cwd=cwd, capture_output=True, text=True, check=False)

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_first_start_makes_the_environment_and_the_second_does_not(host: Host) -> None:
    assert host.doit("list", "set=full").returncode == 0
    assert any("--require-hashes --requirement requirements.lock" in call for call in host.called)
    assert host.called[-1] == "python3 -m tasks list set=full"
    host.calls.write_text("")
    assert host.doit("list").returncode == 0
    assert host.called == ["python3 -m tasks list"]


def test_another_lock_makes_the_environment_anew(host: Host) -> None:
    host.doit("list")
    (host.checkout / "requirements.lock").write_text("locked==2\n")
    (host.checkout / ".venv" / "left").touch()
    host.doit("list")
    assert not (host.checkout / ".venv" / "left").exists()


def test_an_environment_that_was_half_made_is_made_again(host: Host) -> None:
    host.doit("list")
    (host.checkout / ".venv" / "made-from").unlink()
    host.calls.write_text("")
    host.doit("list")
    assert any("--require-hashes" in call for call in host.called)


def test_packages_that_cannot_be_installed_leave_nothing(host: Host) -> None:
    host.stand_in("python3", 'if [[ "$*" == "-m venv"* ]]; then mkdir -p "$3/bin"; echo "exit 1" > "$3/bin/python"; fi')
    done = host.doit("list")
    assert done.returncode == 3
    assert "could not be installed" in done.stderr
    assert not (host.checkout / ".venv").exists()


def test_what_is_missing_is_installed_by_root_or_sudo(host: Host) -> None:
    host.stand_in("sudo", 'shift; exec "$@"')
    (host.bin / "bwrap").unlink()
    assert host.doit("list").returncode == 0
    assert any(call.endswith("install --no-install-recommends bubblewrap") for call in host.called)


def test_a_host_without_apt_is_told_about_the_mirror(host: Host) -> None:
    (host.bin / "apt-get").unlink()
    (host.bin / "bwrap").unlink()
    done = host.doit("list")
    assert done.returncode == 3
    assert "bubblewrap" in done.stderr
    assert "OOLONG_MIRROR" in done.stderr


def test_an_ordinary_user_gets_the_one_command_to_type(host: Host, tmp_path: Path) -> None:
    (host.bin / "git").unlink()
    host.stand_in("sudo", "exit 1")
    become: list[str] = []
    if os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        setpriv = shutil.which("setpriv")
        assert setpriv
        become = [setpriv, "--reuid=65534", "--clear-groups"]
    argv = [*become, str(host.checkout / "doit"), "list"]
    done = subprocess.run(argv, env={"PATH": str(host.bin)}, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "sudo apt-get install git" in done.stderr


def test_the_place_of_the_caller_is_kept(host: Host, tmp_path: Path) -> None:
    host.doit("list")
    host.stand_in("python3", "")
    told = f'echo "$OOLONG_CALLER_DIR" > "{tmp_path}/where"'
    (host.checkout / ".venv" / "bin" / "python").write_text(f"#!/bin/bash\n{told}\n")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    host.doit("list", cwd=elsewhere)
    assert (tmp_path / "where").read_text().strip() == str(elsewhere)


def test_bytecode_is_written_once_and_after_every_edit(host: Host) -> None:
    host.doit("list")
    assert any("-m compileall -q oolong tasks dodo.py" in call for call in host.called)
    host.calls.write_text("")
    host.doit("list")
    assert host.called == ["python3 -m tasks list"]
    os.utime(host.checkout / "tasks" / "module.py", (2e9, 2e9))
    host.doit("list")
    assert any("-m compileall" in call for call in host.called)


def test_bytecode_that_cannot_be_read_is_removed(host: Host) -> None:
    """As a full disk leaves it."""
    host.stand_in(
        "python3",
        'if [[ "$*" == "-m venv"* ]]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
        'if [[ "$*" == "-c import tasks.__main__" ]]; then exit 1; fi',
    )
    half = host.checkout / "tasks" / "__pycache__" / "module.pyc"
    half.parent.mkdir()
    half.touch()
    assert host.doit("list").returncode == 0
    assert not half.exists()
