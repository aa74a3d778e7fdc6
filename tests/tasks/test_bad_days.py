"""What goes wrong around a kernel and inside one: the run says what it was, and the next one goes on by itself.

docs/reliability.md is the table of these.
"""

import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import full_disk, loopback
from tests.checkout import CELL, Checkout, copied_to, fake_kernel, for_fakelinux, made_own, with_kernel
from tests.loopback import Mirror
from tests.processes import PATIENCE_SECONDS, descendants, wait_for
from tests.support import CHECKOUT

CONSOLE, POWER_OFF = "console.txt", "reboot: Power down"
SMALL_DISK = 12 << 20


def kernel_of(checkout: Checkout, *edits: tuple[str, str, str]) -> str:
    return f"kernel={fake_kernel(checkout.folder.parent / 'fakelinux', edits)}"


@pytest.fixture
def alone(checkout: Checkout, empty_cache: Callable[[], Path]) -> Checkout:
    """With a cache of its own, to be damaged."""
    return replace(checkout, cache=empty_cache())


# a full disk


@pytest.mark.usefixtures("tool_cache")
@pytest.mark.parametrize("stage", full_disk.BEFORE)
def test_a_full_disk_is_infrastructure_and_what_was_finished_is_kept(tmp_path: Path, stage: str) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mounts = ["--dev-bind", "/", "/", "--size", str(SMALL_DISK), "--tmpfs", str(folder)]
    argv = [
        "bwrap",
        *mounts,
        "--chdir",
        str(CHECKOUT),
        "--",
        sys.executable,
        "-m",
        "tests.full_disk",
        str(folder),
        stage,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["full"]["code"] == 3, outcome["full"]
    assert re.search("No space left on device|disk is full", outcome["full"]["err"]), outcome["full"]
    assert "Traceback" not in outcome["full"]["err"], outcome["full"]
    assert outcome["again"]["code"] == 0, outcome["again"]
    assert outcome["left"] == []


def test_a_full_disk_while_fetching_is_infrastructure(alone: Checkout, server: Mirror, tmp_path: Path) -> None:
    """The downloads lie on a small file system of their own."""
    data = packed_kernel(tmp_path / "linux", padding=8 << 20)
    use_tarball(alone, server.serve("/linux.tar", data), data)
    downloads = alone.cache / "downloads"
    downloads.unlink()
    downloads.mkdir()
    mounts = ["--dev-bind", "/", "/", "--size", str(2 << 20), "--tmpfs", str(downloads)]
    argv = ["bwrap", *mounts, "--chdir", str(alone.folder), "--", *alone.argv("source:fake")]
    done = subprocess.run(argv, env=alone.env(), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "make room, then start again" in done.stderr
    assert alone.doit("source:fake").code == 0


def test_no_room_for_the_python_packages_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    """The real wrapper, the real pip, and a disk that holds neither."""
    folder = tmp_path / "small"
    folder.mkdir()
    script = (
        f"cp '{CHECKOUT}/doit' '{CHECKOUT}/requirements.lock' '{folder}' && cd '{folder}' && ./doit list; code=$?;"
        f" test -e .venv && echo left; exit $code"
    )
    argv = ["bwrap", "--dev-bind", "/", "/", "--size", str(4 << 20), "--tmpfs", str(folder), "--", "bash", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "the Python packages could not be installed" in done.stderr
    assert "left" not in done.stdout


# something in the cache is not what it was


def flip(path: Path) -> None:
    """Turn one bit round, in a file that may be linked from elsewhere."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(data)
    path.chmod(mode)


DAMAGED = {
    # what is damaged, and a stage that needs it, or the report
    "artifact": ("compile/*/tree/vmlinux.o", "stubs"),
    "kernel": ("link/*/vmlinux", "boot"),
    "archive": ("initramfs/*/initramfs", "boot"),
    "source": ("source/*/tree/text.c", "compile"),
    "tool": ("rootfs/*/*/usr/bin/dash", "compile"),
    "object": ("compile/*/tree/text.o", "link"),
    "result": ("boot/*/console.log", "report"),
    "configuration": ("compile/*/tree/.config", "report"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_flipped_bit_is_noticed_and_made_anew(alone: Checkout, what: str) -> None:
    pattern, stage = DAMAGED[what]
    if what == "tool":
        made_own(alone.stages / "rootfs")
    kernel = kernel_of(alone)
    assert alone.doit(f"cell:{CELL}", kernel).code == 0
    first = alone.result(CELL)["files"]
    found = list(alone.stages.glob(pattern))
    assert found
    for path in found:
        flip(path)
    shutil.rmtree(alone.folder / "build" / "results" if stage == "report" else next((alone.stages / stage).iterdir()))
    done = alone.doit(f"cell:{CELL}", kernel)
    assert done.code == 0, done.err
    assert "SOMETHING IN THE CACHE WAS DAMAGED" in done.err
    assert re.search(rf"{pattern.rpartition('/')[2]} is not what it was", done.err)
    assert {name: alone.result(CELL)["files"][name] for name in first if name != "console.log"} == {
        name: first[name] for name in first if name != "console.log"
    }


def test_a_flipped_bit_is_not_published(alone: Checkout) -> None:
    """The kernel of a finished cell, damaged before its results are written once more."""
    kernel = kernel_of(alone)
    assert alone.doit(f"cell:{CELL}", kernel).code == 0
    good = alone.result(CELL)["files"]["vmlinux"]
    for path in alone.stages.glob("link/*/vmlinux"):
        flip(path)
    shutil.rmtree(alone.folder / "build" / "results")
    done = alone.doit(f"cell:{CELL}", kernel)
    assert done.code == 0, done.err
    assert alone.result(CELL)["files"]["vmlinux"] == good
    sha256 = subprocess.run(
        ["sha256sum", str(alone.folder / "build/results" / CELL / "vmlinux")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert sha256.stdout.split()[0] == good


@pytest.mark.parametrize("file", [".config", "include/config/kernel.release"])
def test_what_the_verdict_reads_and_is_gone_is_made_anew(alone: Checkout, file: str) -> None:
    """Also by a run that has nothing else to do."""
    kernel = kernel_of(alone)
    assert alone.doit(f"cell:{CELL}", kernel).code == 0
    (path,) = alone.stages.glob(f"compile/*/tree/{file}")
    path.unlink()
    done = alone.doit(f"cell:{CELL}", kernel)
    assert done.code == 0, done.err
    assert "SOMETHING IN THE CACHE WAS DAMAGED" in done.err
    assert path.is_file()
    assert "DAMAGED" not in alone.doit(f"cell:{CELL}", kernel).err


def test_a_disk_that_breaks_again_and_again_is_infrastructure(alone: Checkout) -> None:
    """What is damaged as soon as it is made anew: the run stops instead of going round."""
    kernel = kernel_of(alone)
    assert alone.doit(f"link:{CELL}", kernel).code == 0
    for path in alone.stages.glob("link/*/vmlinux"):
        flip(path)
    broken = replace(alone, environment={"OOLONG_MENDED": "1"})
    done = broken.doit(f"boot:{CELL}", kernel)
    assert done.code == 3
    assert "vmlinux is not what it was" in done.err
    assert alone.doit(f"boot:{CELL}", kernel).code == 0


def test_a_half_written_result_is_not_taken_for_one(alone: Checkout) -> None:
    kernel = kernel_of(alone)
    assert alone.doit(f"cell:{CELL}", kernel).code == 0
    for path in alone.stages.glob("*/*/result.json"):
        if path.parent.parent.name != "rootfs":
            text = path.read_text()
            path.unlink()
            path.write_text(text[: len(text) // 2])
    done = alone.doit(f"cell:{CELL}", kernel)
    assert done.code == 0, done.err


def test_a_cache_that_cannot_be_written_is_told(alone: Checkout) -> None:
    """Read-only even for root, by a mount."""
    kernel = kernel_of(alone)
    mounts = ["--dev-bind", "/", "/", "--ro-bind", str(alone.cache), str(alone.cache)]
    argv = ["bwrap", *mounts, "--chdir", str(alone.folder), "--", *alone.argv(f"cell:{CELL}", kernel)]
    done = subprocess.run(argv, env=alone.env(), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


# stopped in the middle


def stop(doit: "subprocess.Popen[bytes]", signum: signal.Signals) -> None:
    """Send a signal to a running ./doit and see how it ends."""
    os.kill(doit.pid, signum)
    assert doit.wait(PATIENCE_SECONDS) == (-signal.SIGKILL if signum == signal.SIGKILL else 130)
    assert doit.stderr
    doit.stderr.close()


STOPS = {
    # stage -> an edit of the tree by which it does not end
    "configure": ("Makefile", "\t@mkdir -p $(O)/include/config\n\t@cat $(KC", "\t@sleep 600\n\t@cat $(KC"),
    "compile": ("Makefile", "\t@echo '  LD      vmlinux.o'", "\t@sleep 600"),
    "link": ("Makefile", "\t@echo '  LD      vmlinux'", "\t@sleep 600"),
    "boot": (CONSOLE, POWER_OFF, "\x01"),
}
PROGRAMS = {"boot": "qemu-system-ppc"}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("stage", STOPS)
def test_a_run_that_is_stopped_goes_on_where_it_was(checkout: Checkout, stage: str, signum: signal.Signals) -> None:
    file, before, after = STOPS[stage]
    kernel = kernel_of(checkout, (file, before, after))
    doit = subprocess.Popen(
        checkout.argv(f"cell:{CELL}", kernel),
        cwd=checkout.folder,
        env=checkout.env(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    program = PROGRAMS.get(stage, "sleep")
    wait_for(lambda: program in descendants(doit.pid).values())
    children = descendants(doit.pid)
    stop(doit, signum)
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    place = checkout.folder.parent / "fakelinux" / file
    place.write_text(place.read_text().replace(after, before))
    done = checkout.doit(f"cell:{CELL}", kernel)
    assert done.code == 0, done.err
    assert list(checkout.layout.scratch.iterdir()) == []


@pytest.fixture
def server() -> Iterator[Mirror]:
    with loopback.mirror() as running:
        yield running


def use_tarball(checkout: Checkout, uri: str, data: bytes) -> None:
    """Put an archive in the place of the pipeline's kernel."""
    path = checkout.folder / "pipeline.yaml"
    text = with_kernel(path.read_text(), "fake")
    source = f'  fake:\n    tarball: {{url: "{uri}", sha256: {hashlib.sha256(data).hexdigest()}}}\n'
    path.write_text(text.replace("sources:\n", f"sources:\n{source}"))


def packed_kernel(folder: Path, *, padding: int = 0) -> bytes:
    """fakelinux as a tarball; some bytes of padding make it large."""
    kernel = fake_kernel(folder)
    (kernel / "padding").write_bytes(random.Random(0).randbytes(padding))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(kernel, "linux")
    return out.getvalue()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_download_that_is_stopped_goes_on_where_it_was(
    alone: Checkout, server: Mirror, tmp_path: Path, signum: signal.Signals
) -> None:
    made_own(alone.cache / "downloads")
    data = packed_kernel(tmp_path / "linux", padding=1 << 20)
    use_tarball(alone, server.serve("/linux.tar", data), data)
    server.dripping.add("/linux.tar")
    doit = subprocess.Popen(
        alone.argv("source:fake"), cwd=alone.folder, env=alone.env(), stderr=subprocess.PIPE, start_new_session=True
    )
    part = alone.cache / "downloads" / hashlib.sha256(data).hexdigest()[:2] / f"{hashlib.sha256(data).hexdigest()}.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 1000)
    stop(doit, signum)
    assert 0 < part.stat().st_size < len(data)
    server.dripping.clear()
    done = alone.doit("cell:le-minimal-gcc-14")
    assert done.code == 0, done.err
    assert server.requests[-1][1], "it began again"
    assert not part.exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_unpacking_that_is_stopped_begins_anew(
    alone: Checkout, server: Mirror, tmp_path: Path, signum: signal.Signals
) -> None:
    made_own(alone.cache / "downloads")
    data = packed_kernel(tmp_path / "linux")
    use_tarball(alone, server.serve("/linux.tar", data), data)
    unpacking = alone.folder / "oolong" / "stages" / "unpack.py"
    text = unpacking.read_text()
    slow = text.replace(
        '["tar", *OPTIONS,', '["tar", *OPTIONS, "--checkpoint=1", "--checkpoint-action=exec=sleep 600",'
    )
    assert slow != text
    unpacking.write_text(slow)
    doit = subprocess.Popen(
        alone.argv("source:fake"), cwd=alone.folder, env=alone.env(), stderr=subprocess.PIPE, start_new_session=True
    )
    wait_for(lambda: "sleep" in descendants(doit.pid).values())
    children = descendants(doit.pid)
    stop(doit, signum)
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    assert not list(alone.stages.glob("source/*"))
    unpacking.write_text(text)
    done = alone.doit("cell:le-minimal-gcc-14")
    assert done.code == 0, done.err
    assert list(alone.layout.scratch.iterdir()) == []


def test_a_mirror_that_goes_down_in_mid_fetch_is_infrastructure(
    alone: Checkout, server: Mirror, tmp_path: Path
) -> None:
    """What came is kept; the next run goes on from there."""
    made_own(alone.cache / "downloads")
    data = packed_kernel(tmp_path / "linux", padding=1 << 16)
    uri = server.serve("/linux.tar", data)
    use_tarball(alone, uri, data)
    server.dies_after = 30_000
    done = alone.doit("source:fake")
    assert done.code == 3
    assert "linux.tar cannot be fetched" in done.err
    server.dies_after = None
    assert alone.doit("source:fake").code == 0
    assert server.requests[-1][1], "it began again"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_while_it_reports_goes_on(checkout: Checkout, signum: signal.Signals) -> None:
    """Stopped by itself in the middle of its results: half of them are there, result.json is not."""
    kernel = kernel_of(checkout)
    results = checkout.folder / "oolong" / "report" / "results.py"
    text = results.read_text()
    line = "        shutil.copyfile(result.path(artifact), folder / file)\n"
    assert line in text
    fault = f"        import os, time; os.kill(os.getpid(), {int(signum)}); time.sleep(1)\n"
    results.write_text(text.replace(line, line + fault))
    stopped = checkout.doit(f"cell:{CELL}", kernel)
    assert stopped.code == (-signal.SIGKILL if signum == signal.SIGKILL else 130)
    folder = checkout.folder / "build" / "results" / CELL
    assert folder.exists()
    assert not (folder / "result.json").exists()
    results.write_text(text)
    done = checkout.doit(f"cell:{CELL}", kernel)
    assert done.code == 0, done.err
    assert checkout.result(CELL)["verdict"]["status"] == "pass"


def test_two_checkouts_on_one_cache_take_turns(checkout: Checkout, tmp_path: Path) -> None:
    """Both want the same stages at the same time; each is made once."""
    other = for_fakelinux(copied_to(tmp_path / "another", cache=checkout.cache))
    kernel = kernel_of(checkout)
    runs = [
        subprocess.Popen(
            one.argv(f"cell:{CELL}", kernel), cwd=one.folder, env=one.env(), stderr=subprocess.PIPE, text=True
        )
        for one in (checkout, other)
    ]
    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert checkout.result(CELL)["files"] == other.result(CELL)["files"]


# a machine that is no help


FAULTS_OF_QEMU = {
    "never starts": ("pipeline.yaml", "machine: pseries,x-vof=on", "machine: no-such-machine,x-vof=on"),
    "no such processor": ("pipeline.yaml", "cpu: POWER9", "cpu: POWER99"),
}


@pytest.mark.parametrize("fault", FAULTS_OF_QEMU)
def test_an_emulator_that_does_not_start_is_infrastructure(checkout: Checkout, fault: str) -> None:
    file, before, after = FAULTS_OF_QEMU[fault]
    path = checkout.folder / file
    path.write_text(path.read_text().replace(before, after))
    done = checkout.doit(f"cell:{CELL}", kernel_of(checkout))
    assert done.code == 3
    assert "QEMU did not start" in done.err
    path.write_text(path.read_text().replace(after, before))
    assert checkout.doit(f"cell:{CELL}", f"kernel={checkout.folder.parent / 'fakelinux'}").code == 0


def test_an_emulator_that_dies_is_infrastructure_and_never_kept(checkout: Checkout) -> None:
    kernel = kernel_of(checkout, (CONSOLE, POWER_OFF, "\x01"))
    doit = subprocess.Popen(
        checkout.argv(f"cell:{CELL}", kernel),
        cwd=checkout.folder,
        env=checkout.env(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: "qemu-system-ppc" in descendants(doit.pid).values())
    machine = next(pid for pid, name in descendants(doit.pid).items() if name == "qemu-system-ppc")
    os.kill(machine, signal.SIGSEGV)
    _, said = doit.communicate(timeout=PATIENCE_SECONDS)
    assert doit.returncode == 3
    assert "QEMU" in said
    assert not list(checkout.folder.glob("build/results/*/result.json"))


# kernels that say odd things


@pytest.mark.parametrize(
    ("console", "kind"),
    [
        ("\x01", "hang"),
        ("\x7f\x1b[2J\x05\x06\xe2\x28\xa1" * 50 + "\x01", "hang"),
        ("x" * 200_000 + "\n\x02", "reset"),
        ("\n" * 5000 + "\x02", "reset"),
    ],
    ids=["nothing", "garbage", "one endless line", "empty lines"],
)
def test_whatever_a_kernel_says_gets_a_verdict(checkout: Checkout, console: str, kind: str) -> None:
    pipeline = checkout.folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("timeout: 180", "timeout: 2"))
    watch = checkout.folder / "oolong" / "machine" / "watch.py"
    watch.write_text(watch.read_text().replace("SILENCE_SECONDS = 20.0", "SILENCE_SECONDS = 0.5"))
    kernel = kernel_of(checkout)
    (checkout.folder.parent / "fakelinux" / CONSOLE).write_bytes(console.encode("latin-1"))
    done = checkout.doit(f"cell:{CELL}", kernel)
    assert done.code == 1, done.err
    assert checkout.result(CELL)["verdict"]["kind"] == kind
    assert "\x1b" not in done.out


def test_a_console_without_end_is_cut_off(checkout: Checkout) -> None:
    watch = checkout.folder / "oolong" / "machine" / "watch.py"
    watch.write_text(watch.read_text().replace("LARGEST_CONSOLE = 16 << 20", "LARGEST_CONSOLE = 1 << 17"))
    done = checkout.doit(f"cell:{CELL}", kernel_of(checkout, (CONSOLE, POWER_OFF, "\x04")))
    assert done.code == 1, done.err
    assert checkout.result(CELL)["verdict"]["kind"] == "flood"


def test_a_build_that_talks_without_end_is_cut_off(checkout: Checkout) -> None:
    inside = checkout.folder / "oolong" / "stages" / "sandboxed.py"
    inside.write_text(inside.read_text().replace("LARGEST_LOG = 64 << 20", "LARGEST_LOG = 1 << 20"))
    fault = ("Makefile", "\t@echo '  LD      vmlinux.o'", "\t@yes talking")
    done = checkout.doit(f"cell:{CELL}", kernel_of(checkout, fault))
    assert done.code == 1, done.err
    assert "wrote more than 1 MiB" in done.out


# what is kept of failures


@pytest.mark.parametrize(
    ("edit", "stage"),
    [
        (("text.c", "return x + 1;", "return y + 1;"), "compile"),
        (("text.c", "return x + 1;", "int no(void); return no();"), "link"),
        ((CONSOLE, POWER_OFF, "Kernel panic - not syncing: no init\n"), "boot"),
        ((CONSOLE, "ok 2 function", "not ok 2 function"), "boot"),
    ],
    ids=["compile error", "link error", "panic", "failed test"],
)
def test_a_failure_of_the_kernel_is_a_cached_result(alone: Checkout, edit: tuple[str, str, str], stage: str) -> None:
    kernel = kernel_of(alone, edit)
    first = alone.doit(f"cell:{CELL}", kernel)
    again = alone.doit(f"cell:{CELL}", kernel)
    assert (first.code, again.code) == (1, 1)
    assert f"{stage}:{CELL}: fail" in first.err
    assert f"{stage}:{CELL}: fail" not in again.err, "it was made again"
    assert re.sub(r"\d+ s ", "", again.out) == re.sub(r"\d+ s ", "", first.out)


# strange surroundings


def test_a_clock_that_jumps_changes_nothing(checkout: Checkout, tmp_path: Path) -> None:
    """Back by a year in the middle of a run, and files that are from the future afterwards."""
    jumps = tmp_path / "site"
    jumps.mkdir()
    (jumps / "sitecustomize.py").write_text(
        "import time, itertools\nreal, count = time.time, itertools.count()\n"
        "time.time = lambda: real() - (next(count) % 2) * 31536000\n"
    )
    kernel = kernel_of(checkout)
    jumping = replace(checkout, environment={"PYTHONPATH": str(jumps)})
    assert jumping.doit(f"cell:{CELL}", kernel).code == 0
    first = checkout.result(CELL)["files"]
    future = ["find", *(str(checkout.stages / name) for name in ("compile", "configure")), "-type", "f"]
    subprocess.run([*future, "-exec", "touch", "--date=+2 days", "{}", "+"], check=True)
    for stage in ("link", "stubs"):
        shutil.rmtree(checkout.stages / stage)
    shutil.rmtree(checkout.layout.versioned / "twins")
    done = checkout.doit(f"cell:{CELL}", kernel)
    assert done.code == 0, done.err
    assert checkout.result(CELL)["files"]["vmlinux"] == first["vmlinux"]


def test_an_ordinary_day_of_another_person(checkout: Checkout, tmp_path: Path) -> None:
    """umask 077, a path that is not ASCII, no HOME, a locale that is not there."""
    folder = tmp_path / "Üben für später – 测试"
    shutil.move(checkout.folder, folder)
    other = replace(checkout, folder=folder)
    environment = {name: value for name, value in other.env().items() if name not in ("HOME", "LANG", "LC_ALL")}
    kernel = fake_kernel(folder / "mein kernel")
    argv = other.argv(f"cell:{CELL.removesuffix('-fakelinux')}-mein-kernel", f"kernel={kernel}")
    done = subprocess.run(
        argv, cwd=folder, env={**environment, "LC_ALL": "xx_XX"}, capture_output=True, umask=0o077, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b" pass " in done.stdout


def test_without_a_home_the_cache_is_where_xdg_says(checkout: Checkout) -> None:
    environment = {name: value for name, value in checkout.env().items() if name not in ("HOME", "OOLONG_CACHE")}
    argv = checkout.argv("cells")
    done = subprocess.run(
        argv,
        cwd=checkout.folder,
        env={**environment, "XDG_CACHE_HOME": str(checkout.cache)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_output_is_no_traceback(checkout: Checkout, closed: int) -> None:
    kernel = kernel_of(checkout)
    command = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *checkout.argv(f"cell:{CELL}", kernel)]
    done = subprocess.run(command, cwd=checkout.folder, env=checkout.env(), capture_output=True, check=False)
    assert b"Traceback" not in done.stderr + done.stdout
    assert checkout.result(CELL)["verdict"]["status"] == "pass"
