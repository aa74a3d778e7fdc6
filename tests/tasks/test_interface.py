"""What a person types and sees: help with both kinds of parameter, doctor, quiet and verbose, colours or none."""

import json
import os
import pty
import re
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from oolong import doctor
from oolong.doctor import GOOD, LACKS, NOTE
from oolong.errors import Infrastructure
from tasks.cli.commandline import SHORT, VARIABLES
from tests.checkout import CELL, Checkout, fake_kernel
from tests.support import layout_in


def test_a_wrong_path_is_told_by_the_list_of_cells_too(checkout: Checkout) -> None:
    done = checkout.doit("cells", "config=nowhere/a.config")
    assert done.code == 2
    assert "no such file" in done.err
    assert "Traceback" not in done.err


def test_help_names_every_task_and_variable(checkout: Checkout) -> None:
    done = checkout.doit("help")
    assert done.code == 0
    for name in VARIABLES:
        assert f"  {name}=" in done.out
    listed = {line.split()[0] for line in checkout.doit("list").out.splitlines()}
    stages = {
        "rootfs",
        "source",
        "configure",
        "compile",
        "stubs",
        "link",
        "crosslink",
        "modules",
        "initramfs",
        "boot",
        "offsets",
        "audit-object",
        "audit-image",
        "tree",
        "live",
    }
    for task in listed - stages - {"verdict", "report"}:
        assert task in done.out, task


@pytest.mark.parametrize("task", ["compile", f"boot:{CELL}", "matrix", "lock", "doctor", "bundle", "record", "test"])
def test_help_of_a_task_tells_its_variables_and_the_options_of_doit(checkout: Checkout, task: str) -> None:
    done = checkout.doit("help", task)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{task.partition(':')[0]}: ")
    assert re.search(r"^variables \(NAME=VALUE\)$", done.out, re.MULTILINE)
    assert re.search(r"^  -n, --process ", done.out, re.MULTILINE)


def test_help_tells_the_variables_that_a_task_takes(checkout: Checkout) -> None:
    assert "  tier=" in checkout.doit("help", "test").out
    assert "  tier=" not in checkout.doit("help", "compile").out
    assert "short -c" in checkout.doit("help", "compile").out


def test_a_cache_that_is_made_is_its_owners_alone(checkout: Checkout, tmp_path: Path) -> None:
    """What builds leave there belongs to the person, whatever its mode."""
    cache = tmp_path / "home" / "cache"
    assert replace(checkout, cache=cache).doit("cells").code == 0
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_help_works_where_no_lock_is(checkout: Checkout) -> None:
    (checkout.folder / "toolchains" / "gcc-14.lock").unlink()
    for words in (("help",), ("help", "boot"), ("cells",), ("doctor",)):
        assert checkout.doit(*words).code == 0, words


@pytest.mark.parametrize("word", ["bot", "compil:le-minimal"])
def test_help_of_nothing_is_bad_input(checkout: Checkout, word: str) -> None:
    done = checkout.doit("help", word)
    assert (done.code, "there is no task" in done.err) == (2, True), done.err


def test_help_of_a_command_is_doits_own(checkout: Checkout) -> None:
    done = checkout.doit("help", "run")
    assert (done.code, "--process" in done.out) == (0, True)


def test_doctor_finds_a_machine_that_can(checkout: Checkout) -> None:
    done = checkout.doit("doctor", "format=json")
    assert done.code == 0, done.err
    findings = {finding["name"]: finding for finding in json.loads(done.out)}
    assert {"python", "bwrap", "git", "sandbox", "cache", "build", "mirrors", "memory", "cpus"} <= findings.keys()
    assert LACKS not in {finding["status"] for finding in findings.values()}


def test_doctor_says_what_a_machine_lacks_and_how_to_get_it(checkout: Checkout, tmp_path: Path) -> None:
    """A PATH without bubblewrap and git, a cache that cannot be written, a mirror that is none."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb", "setpriv", "env"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    poor = replace(
        checkout,
        cache=Path("/proc/oolong"),
        environment={"PATH": str(programs), "OOLONG_MIRROR": "gopher://mirror.example"},
    )
    argv = [word for word in poor.argv("doctor") if word not in ("setpriv", "--pdeathsig", "KILL", "--")]
    done = subprocess.run(argv, cwd=poor.folder, env=poor.env(), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "this machine lacks: bwrap, git, sandbox, cache, mirrors" in done.stderr
    assert "bwrap: apt-get install bubblewrap" in done.stdout
    assert "cache: set OOLONG_CACHE" in done.stdout


def test_doctor_warns_of_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    findings = {finding.name: finding for finding in doctor.examine(layout_in(tmp_path))}
    assert findings["cache"].status == NOTE
    assert "make room" in findings["cache"].hint


def test_doctor_tells_of_a_sandbox_that_is_not_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(argv: object, **options: object) -> None:
        raise Infrastructure("cannot start bwrap")

    monkeypatch.setattr("oolong.host.process.run", refuse)
    monkeypatch.setattr(doctor, "mirrors", lambda: ("http://mirror.example/debian",))
    findings = {finding.name: finding for finding in doctor.examine(layout_in(tmp_path))}
    assert (findings["sandbox"].status, findings["mirrors"].status) == (LACKS, GOOD)


def test_quiet_says_how_it_ended_and_nothing_else(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    done = checkout.doit(f"cell:{CELL}", f"kernel={kernel}", "quiet=1")
    assert (done.code, done.err) == (0, "")
    assert re.search(rf"^{CELL} +pass ", done.out, re.MULTILINE)


def test_verbose_shows_what_builds_and_machines_say(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    done = checkout.doit(f"cell:{CELL}", f"kernel={kernel}", "verbose=1", "again=1")
    assert done.code == 0, done.err
    assert f"compile:{CELL} |   LD      vmlinux.o" in done.err
    assert f"boot:{CELL} | reboot: Power down" in done.err


def test_quiet_and_verbose_at_once_is_bad_input(checkout: Checkout) -> None:
    assert checkout.doit("cells", "quiet=1", "verbose=1").code == 2


def on_a_terminal(checkout: Checkout, *words: str, no_color: bool = False) -> bytes:
    """What a run shows on a terminal, as bytes with their escape sequences."""
    environment = {
        **checkout.env(),
        "TERM": "xterm-256color",
        "COLUMNS": "200",
        **({"NO_COLOR": "1"} if no_color else {}),
    }
    if not no_color:
        environment.pop("NO_COLOR", None)
    leader, follower = pty.openpty()
    argv = checkout.argv(*words)
    doit = subprocess.Popen(argv, cwd=checkout.folder, env=environment, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 1 << 16):
            shown += chunk
    except OSError:  # the last one at the other end is gone
        pass
    os.close(leader)
    assert doit.wait() == 0
    return shown


@pytest.mark.parametrize("no_color", [True, False])
def test_colours_only_where_they_are_wanted(checkout: Checkout, no_color: bool) -> None:
    """On a terminal there is a live table; NO_COLOR (no-color.org) takes its colours."""
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    shown = on_a_terminal(checkout, f"cell:{CELL}", f"kernel={kernel}", "again=1", no_color=no_color)
    assert b"compile" in shown
    colours = re.findall(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|38;[0-9;]+)m", shown)
    assert bool(colours) != no_color


def test_known_has_a_colour_of_its_own(checkout: Checkout) -> None:
    magenta = re.compile(rb"\x1b\[(?:[0-9;]*;)?35m")
    two_nops = ("int one(", "int __attribute__((patchable_function_entry(2, 0))) one(")
    kernel = fake_kernel(checkout.folder.parent / "fakelinux", [("text.c", *two_nops)])
    fields = """
      check: object.one-nop, covers: {names: [one]}, kernels: ">=7", when: {toolchain: "gcc-*"}, config: {PPC64: y},
      reason: a test, evidence: a test"""
    (checkout.folder / "known-issues.yaml").write_text(f"issues: [{{id: one, {fields}}}]\n")
    assert magenta.search(on_a_terminal(checkout, f"cell:{CELL}", f"kernel={kernel}"))
    other = fake_kernel(checkout.folder.parent / "other" / "fakelinux")
    assert not magenta.search(on_a_terminal(checkout, f"cell:{CELL}", f"kernel={other}"))


def test_short_forms_stand_for_variables(checkout: Checkout) -> None:
    for option, name in SHORT.items():
        value = {"cell": "le-minimal-gcc-14"}.get(name, "x")
        by_option, by_name = (checkout.doit("cells", *words) for words in ((option, value), (f"{name}={value}",)))
        assert (by_option.code, by_option.out, by_option.err) == (by_name.code, by_name.out, by_name.err)
