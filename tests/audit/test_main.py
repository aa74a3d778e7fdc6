"""`python -m oolong.audit` as a person with two files runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oolong.audit import catalogue
from oolong.audit.object_checks import OBJECT as OBJECT_CHECKS
from oolong.binary import elf
from oolong.stubs import counting
from oolong.stubs.counting import StubPlan
from tests.support import CHECKOUT, TEST_DATA, victims

AUDIT = TEST_DATA / "audit"
OBJECT, IMAGE = "image-healthy-le.o", "image-relocatable-le"
CONFIG = "CONFIG_PPC64=y\nCONFIG_RELOCATABLE=y\nCONFIG_FUNCTION_TRACER=y\n# CONFIG_KPROBES_ON_FTRACE is not set\n"
LOG = "  LD      vmlinux\n  CHKHEAD vmlinux\n  CHKREL  vmlinux\n  CHKFTRC vmlinux\n"


def program(vmlinux_o: str | Path, linked: str | Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "oolong.audit", str(AUDIT / vmlinux_o), str(AUDIT / linked), *words]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def written(folder: Path, *, inittext: int = 2, config: str = CONFIG, log: str = LOG) -> list[str]:
    """What a person may have besides the two files, and how it is given."""
    plan = StubPlan(text=5, inittext=inittext, exit=0, reserve=2)
    files = {"source": counting.render(plan, counting.TEMPLATE.read_text()), "config": config, "log": log}
    for name, text in files.items():
        (folder / name).write_text(text)
    return [word for name in files for word in (f"--{name}", str(folder / name))]


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_healthy_kernel_ends_with_0(tmp_path: Path, order: str) -> None:
    done = program(f"image-healthy-{order}.o", f"image-relocatable-{order}", *written(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "26 hold, 0 do not, 1 skipped"
    assert [line.split()[1] for line in lines[:-1] if line.startswith("skip")] == ["image.kprobe-window"]


def test_two_files_are_enough(tmp_path: Path) -> None:
    done = program(OBJECT, IMAGE)
    assert done.returncode == 0
    left = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("skip")]
    assert left == ["object.stub-source", "image.post-link-checks"]


@pytest.mark.parametrize(
    ("option", "check"),
    [
        ({"inittext": 1}, "object.stub-source"),
        ({"log": LOG.replace("  CHKFTRC vmlinux\n", "")}, "image.post-link-checks"),
        ({"log": "make: Nothing to be done for 'vmlinux.unstripped'.\n"}, "image.post-link-checks"),
    ],
)
def test_a_finding_ends_with_1(tmp_path: Path, option: dict[str, str | int], check: str) -> None:
    done = program(OBJECT, IMAGE, *written(tmp_path, **option))  # type: ignore[arg-type]
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("fail")] == [check]


def test_json_has_every_check_with_its_victims() -> None:
    done = program(OBJECT, "image-no-nop-le", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["format"] == 2
    assert len(document["checks"]) == 27
    wrong = [check for check in document["checks"] if check["status"] == "fail"]
    assert [(check["name"], victims(check)) for check in wrong] == [("image.site-words", ["leaf"])]
    assert "38630001 at leaf" in wrong[0]["evidence"]


def test_a_kernel_without_stubs_needs_none() -> None:
    done = program(OBJECT, "image-two-nops-le", "--json")
    assert done.returncode == 0
    skipped = {check["name"] for check in json.loads(done.stdout)["checks"] if check["status"] == "skip"}
    assert {"object.entries", "image.stub-areas"} <= skipped


def stripped(folder: Path) -> Path:
    """An image whose symbols have lost their names: no section is a table of symbols any more."""
    data = bytearray((AUDIT / IMAGE).read_bytes())
    with elf.opened(AUDIT / IMAGE) as file:
        (table,) = file.named(".symtab")
    start = int.from_bytes(data[40:48], "little") + table.index * 64
    data[start + 4 : start + 8] = (1).to_bytes(4, "little")
    path = folder / "stripped"
    path.write_bytes(data)
    return path


def test_a_stripped_kernel_is_told_what_it_lacks(tmp_path: Path) -> None:
    done = program(OBJECT, stripped(tmp_path))
    assert done.returncode == 2
    assert "stripped: has no table of symbols (.symtab)" in done.stderr
    assert "take vmlinux as its build left it" in done.stderr


def test_a_truncated_kernel_is_refused(tmp_path: Path) -> None:
    data = (AUDIT / IMAGE).read_bytes()
    path = tmp_path / "vmlinux"
    for size in (0, 10, 64, 1000, len(data) // 2, len(data) - 100):
        path.write_bytes(data[:size])
        done = program(OBJECT, path)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), (size, done.stderr)


@pytest.mark.parametrize(
    ("vmlinux_o", "linked", "told"),
    [
        (OBJECT, "no-such-file", "no-such-file: cannot be read: No such file or directory"),
        ("no-such-file.o", IMAGE, "no-such-file.o: cannot be read: No such file or directory"),
        (OBJECT, ".", "cannot be read: Is a directory"),
        (OBJECT, "image.S", "image.S: not an ELF file"),
        ("object.S", IMAGE, "object.S: not an ELF file"),
        (IMAGE, OBJECT, "image-relocatable-le: a linked file"),
        (OBJECT, OBJECT, "image-healthy-le.o: no linked 64-bit kernel"),
    ],
)
def test_bad_input_ends_with_2_and_says_which_file(vmlinux_o: str, linked: str, told: str) -> None:
    done = program(vmlinux_o, linked)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--source", "--config", "--log"])
def test_what_is_named_and_not_there_is_bad_input(option: str) -> None:
    done = program(OBJECT, IMAGE, option, "no-such-file")
    assert (done.returncode, "no-such-file: cannot be read" in done.stderr) == (2, True), done.stderr


def test_help_says_what_the_exit_codes_mean() -> None:
    done = program(OBJECT, IMAGE, "--help")
    assert done.returncode == 0
    assert "Exit code: 0 all hold, 1 a finding, 2 bad input, 3 the output cannot be written." in " ".join(
        done.stdout.split()
    )


@pytest.mark.parametrize("words", [("--checks",), ("--checks", "--json")])
def test_all_checks_are_listed_without_a_kernel(words: tuple[str, ...]) -> None:
    argv = [sys.executable, "-m", "oolong.audit", *words]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if "--json" in words:
        listed = [check["name"] for check in json.loads(done.stdout)["checks"]]
    else:
        listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert listed == list(catalogue.entries())


def on(*words: str) -> subprocess.CompletedProcess[str]:
    """The program with the words as they are."""
    argv = [sys.executable, "-m", "oolong.audit", *words]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "one kernel is audited: [vmlinux.o] vmlinux"),
        ((IMAGE, IMAGE, IMAGE), "one kernel is audited: [vmlinux.o] vmlinux"),
        ((IMAGE, "--source", OBJECT), "say something of vmlinux.o, which is not given"),
        ((IMAGE, "--linker-script", OBJECT), "say something of vmlinux.o, which is not given"),
    ],
)
def test_other_words_are_refused(words: tuple[str, ...], told: str) -> None:
    done = on(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


@pytest.mark.parametrize("order", ["le", "be"])
def test_without_vmlinux_o_all_is_checked_that_the_image_allows(order: str) -> None:
    done = on(str(AUDIT / f"image-relocatable-{order}"))
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    left = {name: " ".join(why) for state, name, *why in map(str.split, lines) if state == "skip"}
    assert set(left.values()) == {
        "vmlinux.o is not there",
        "nothing was counted in vmlinux.o to compare with",
        "nothing was counted in vmlinux.o to compare with, and there is no .config",
        "the log of the build and its .config are not there",
    }
    assert {entry.name for entry in OBJECT_CHECKS.entries} < left.keys()
    assert left.keys() - {entry.name for entry in OBJECT_CHECKS.entries} == {
        "image.mcount-entries",
        "image.stub-counts",
        "image.post-link-checks",
    }
    assert last == f"{len(lines) - len(left)} hold, 0 do not, {len(left)} skipped"


def test_without_vmlinux_o_a_finding_is_one() -> None:
    done = on(str(AUDIT / "image-forgotten-le"), "--json")
    assert done.returncode == 1
    checks = json.loads(done.stdout)["checks"]
    wrong = [(check["name"], victims(check)) for check in checks if check["status"] == "fail"]
    assert wrong == [("image.no-orphan", ["leaf"])]


def test_vmlinux_o_alone_is_no_kernel() -> None:
    done = on(str(AUDIT / OBJECT))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no linked 64-bit kernel" in done.stderr


@pytest.mark.parametrize("words", [(), (str(AUDIT / OBJECT),)])
def test_the_reserve_is_the_one_that_the_configuration_asks_for(tmp_path: Path, words: tuple[str, ...]) -> None:
    config = tmp_path / "config"
    for reserve, wrong in ((2, []), (3, ["image.stub-counts"])):
        config.write_text(f"{CONFIG}CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE={reserve}\n")
        done = on(*words, str(AUDIT / IMAGE), "--config", str(config))
        assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("fail")] == wrong
    assert "ftrace_ool_stub_text: 2 stubs, .config asks for 3" in done.stdout


def test_a_linker_script_of_ones_own_says_what_is_placed(tmp_path: Path) -> None:
    script = tmp_path / "vmlinux.lds"
    script.write_text("SECTIONS { _stext = .; .text : { *(.text .exit.text .sched.text) } _etext = .; }")
    done = program(OBJECT, IMAGE, "--linker-script", str(script))
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("fail"))
    assert ".init.text: 1 entries are counted for init text, and the linker script places no such section" in line


WORDS = (
    ("oolong.audit", str(AUDIT / OBJECT), str(AUDIT / IMAGE)),
    ("oolong.audit", "--json", str(AUDIT / OBJECT), str(AUDIT / IMAGE)),
    ("oolong.audit", "--checks"),
    ("oolong.stubs", "--reserve", "1", str(AUDIT / OBJECT)),
    ("oolong.stubs", "--reserve", "1", "--json", str(AUDIT / OBJECT)),
    ("oolong.report",),
)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_an_output_that_cannot_be_written_is_no_finding(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=CHECKOUT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 3
    assert done.stderr == f"{words[0]}: standard output: No space left on device\n"


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_reader_that_is_gone_is_no_finding(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=CHECKOUT, stdout=gone, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (141, "")
