"""What cells share, what rebuilds them, and what a run keeps to itself; with fakelinux."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkout import Checkout, fake_kernel

NAME = "le-minimal-gcc-14"
CELL = f"{NAME}-fakelinux"


@pytest.fixture
def alone(checkout: Checkout, empty_cache: Callable[[], Path]) -> Checkout:
    """With a cache of its own."""
    return replace(checkout, cache=empty_cache())


@pytest.fixture
def kernel(checkout: Checkout) -> str:
    return f"kernel={fake_kernel(checkout.folder.parent / 'fakelinux')}"


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text, path
    path.write_text(text.replace(before, after))


def made(err: str) -> list[str]:
    """The tasks of stages that were worked on, in order."""
    return re.findall(r"(\w[\w-]*:\S+): (?:ok|fail), ", err)


def test_three_machines_on_one_kernel_are_one_build_and_three_boots(alone: Checkout, kernel: str) -> None:
    pipeline = alone.folder / "pipeline.yaml"
    start = pipeline.read_text().index("  pseries:\n")
    machine = pipeline.read_text()[start : pipeline.read_text().index("# seconds of wall clock")]
    more = "".join(machine.replace("  pseries:", f"  {name}:").replace("POWER9", cpu) for name, cpu in MORE.items())
    edit(pipeline, machine, machine + more)
    edit(pipeline, '"*-minimal-gcc-14"', '"*-minimal-gcc-14-*"')
    edit(pipeline, "    machine: [pseries]\n", f"    machine: [pseries, {', '.join(MORE)}]\n")
    done = alone.doit("-n", "2", kernel, f"cell={NAME}-fakelinux-*")
    assert done.code == 0, done.err
    tasks = made(done.err)
    assert len(tasks) == len(set(tasks))
    assert [task for task in tasks if task.startswith("compile:")] == [f"compile:{CELL}"]
    machines = ("pseries", *MORE)
    assert sorted(task for task in tasks if task.startswith("boot:")) == sorted(f"boot:{CELL}-{m}" for m in machines)
    for name in machines:
        result = alone.result(f"{CELL}-{name}")
        assert (result["build"], result["verdict"]["status"]) == (CELL, "pass")
        assert {"vmlinux", "console.log"} <= result["files"].keys()
    assert "waiting for" not in done.err
    second = alone.doit(f"cell:{CELL}-second", kernel)
    assert (second.code, f"{CELL}-pseries" in second.out) == (0, False), "its build is judged with the cell"


MORE = {"second": "POWER8", "third": "POWER10"}


def test_a_build_that_exceeds_its_time_limit_is_a_failure_that_is_not_cached(alone: Checkout, kernel: str) -> None:
    edit(alone.folder / "pipeline.yaml", "build: {timeout: 14400}", "build: {timeout: 2}")
    makefile = alone.folder.parent / "fakelinux" / "Makefile"
    edit(makefile, "\t@echo '  LD      vmlinux.o'\n", "\t@echo '  LD      vmlinux.o'; sleep 600\n")
    for _ in range(2):
        done = alone.doit(f"cell:{CELL}", kernel)
        assert done.code == 1, done.err
        assert f"compile:{CELL}: fail" in done.err, "the time-out was cached"
        verdict = alone.result(CELL)["verdict"]
        assert verdict["kind"] == "timeout"
        assert "not over after 2 s" in verdict["summary"]
    # no recipe knows the limit
    edit(alone.folder / "pipeline.yaml", "build: {timeout: 2}", "build: {timeout: 14400}")
    edit(makefile, "; sleep 600\n", "\n")
    assert alone.doit(f"cell:{CELL}", kernel).code == 0


PROBE = "arch/powerpc/tools/check-fpatchable-function-entry.sh"
SLOW = {
    "stubs": ("arch/powerpc/tools/ftrace-gen-ool-stubs.sh", "#!/bin/sh\nsleep 600\n"),
    "audit-object": (PROBE, "sleep 600\n"),
    "audit-image": ("arch/powerpc/tools/ftrace_check.sh", "sleep 600\n"),
    "initramfs": ("usr/gen_init_cpio.c", "#include <unistd.h>\nint main(void) { return sleep(600); }\n"),
}


@pytest.mark.parametrize("stage", SLOW)
def test_a_script_or_tool_of_the_tree_that_exceeds_the_limit_is_no_fault_of_the_kernel(
    alone: Checkout, kernel: str, stage: str
) -> None:
    edit(alone.folder / "pipeline.yaml", "build: {timeout: 14400}", "build: {timeout: 3}")
    name, text = SLOW[stage]
    (alone.folder.parent / "fakelinux" / name).write_text(text)
    for _ in range(2):
        done = alone.doit(f"{stage}:{CELL}", kernel)
        assert done.code == 1, done.err
        assert f"{stage}:{CELL}: fail" in done.err, "the time-out was cached"
        assert "timeout: not over after 3 s" in done.err


def test_a_limit_that_is_no_number_is_bad_input(checkout: Checkout) -> None:
    edit(checkout.folder / "pipeline.yaml", "build: {timeout: 14400}", "build: {timeout: never}")
    done = checkout.doit("cells")
    assert done.code == 2
    assert re.search(r"pipeline\.yaml:\d+:\d+: build\.timeout: ", done.err)


def test_an_edit_of_docstrings_and_comments_rebuilds_nothing(checkout: Checkout, kernel: str) -> None:
    assert checkout.doit(f"cell:{CELL}", kernel).code == 0
    first = checkout.result(CELL)
    for module in (checkout.folder / "oolong").rglob("*.py"):
        text = module.read_text()
        if text.startswith('"""'):
            module.write_text('"""Another docstring.\n\n' + text[3:] + "\n# another comment\n")
    done = checkout.doit(f"cell:{CELL}", kernel)
    assert (done.code, made(done.err)) == (0, []), done.err
    assert checkout.result(CELL) == first


def test_again_replaces_nothing_that_is_published(alone: Checkout, kernel: str) -> None:
    assert alone.doit(f"cell:{CELL}", kernel).code == 0
    before = {path: path.stat().st_ino for path in alone.stages.glob("*/*/result.json")}
    done = alone.doit("again=1", f"cell:{CELL}", kernel)
    assert done.code == 0, done.err
    assert {f"compile:{CELL}", f"boot:{CELL}"} <= set(made(done.err))
    assert {path: path.stat().st_ino for path in alone.stages.glob("*/*/result.json")} == before


def test_an_unkept_result_can_be_looked_at_and_is_made_again(alone: Checkout, kernel: str) -> None:
    """A machine that hangs: its memory is explained, its result is not taken for true by the next run."""
    edit(alone.folder / "pipeline.yaml", "timeout: 180", "timeout: 3")
    edit(alone.folder.parent / "fakelinux" / "console.txt", "reboot: Power down", "\x01")
    assert alone.doit(f"cell:{CELL}", kernel).code == 1
    assert not list((alone.stages / "boot").glob("*/result.json"))
    explained = alone.doit("explain", "-c", CELL, "-f", "one", kernel)
    assert explained.code == 0, explained.err
    assert "one" in explained.out
    assert f"boot:{CELL}: fail" in alone.doit(f"cell:{CELL}", kernel).err
