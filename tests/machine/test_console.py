import pytest
from hypothesis import given
from hypothesis import strategies as st

from oolong.machine import console
from tests.support import TEST_DATA

DATA = TEST_DATA / "console"


@pytest.mark.parametrize(("name", "sites", "total"), [("le-pass", 10385, 9646), ("be-pass", 10383, 9645)])
def test_a_healthy_boot(name: str, sites: int, total: int) -> None:
    heard = console.parse((DATA / f"{name}.log").read_text())
    assert heard.release == "7.3.4"
    assert heard.troubles == ()
    assert len(heard.startup) == 15
    assert all(passed for _, passed in heard.startup)
    assert heard.startup[2][0] == "dynamic ftrace ops #1"
    assert heard.planned == len(heard.results) == 8
    assert all(ok for _, ok in heard.results)
    assert (heard.allocated, heard.total, heard.powered_off) == (sites, total, True)


KINDS = {
    "panic": "[    1.000000] Kernel panic - not syncing: No working init found.",
    "oops": "[    1.0] Oops: Kernel access of bad area, sig: 11 [#1]",
    "oops ": "kernel BUG at kernel/trace/ftrace.c:2100!",
    "oops  ": "[    2.1][    T1] BUG: Unable to handle kernel data access at 0x10",
    "ftrace-bug": "------------[ ftrace bug ]------------",
    "warn": "WARNING: CPU: 0 PID: 1 at kernel/trace/ftrace.c:2100 ftrace_bug+0x10/0x20",
    "warn ": "[    1.5] WARNING: arch/powerpc/kernel/trace/ftrace.c:217 at ftrace_init_nop+0x0/0x0, CPU#0: swapper/0",
    "warn  ": "WARNING: at ftrace_init_nop+0x0/0x0, CPU#1: swapper/0",
    "stall": "rcu: INFO: rcu_sched self-detected stall on CPU",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_trouble_is_told_apart_with_its_lines(kind: str) -> None:
    lines = [f"line {number}" for number in range(50)]
    lines[25] = KINDS[kind]
    trouble = console.parse("\n".join(lines)).gravest
    assert trouble
    assert trouble.kind == kind.strip()
    assert console.PREFIX.sub("", KINDS[kind]) in trouble.lines
    assert trouble.lines[0] == "line 23"
    assert len(trouble.lines) == 20


@pytest.mark.parametrize(
    "harmless",
    [
        "WARNING: nvram corruption detected: 0-length partition",
        "kernel command line: panic=-1 oops=panic",
        "Debug: BUG_ON is off",
        "reboot: Power down",
    ],
)
def test_messages_that_only_sound_bad_are_none(harmless: str) -> None:
    assert console.parse(harmless).troubles == ()


def test_an_ftrace_bug_names_a_failure_that_ends_in_a_panic() -> None:
    text = "\n".join([KINDS["warn"], KINDS["ftrace-bug"], KINDS["oops"], KINDS["panic"]])
    heard = console.parse(text)
    assert {trouble.kind for trouble in heard.troubles} == {"warn", "ftrace-bug", "oops", "panic"}
    assert heard.gravest
    assert heard.gravest.kind == "ftrace-bug"


def test_startup_tests_may_be_interrupted_by_other_messages() -> None:
    text = "Testing ops #1: \n(1 0)\nsome driver\n(2 0) PASSED\nTesting filter: \nUnpacking initramfs...\nOK\n"
    assert console.parse(text).startup == (("ops #1", True), ("filter", True))


def test_startup_tests_that_fail_or_never_end() -> None:
    text = "Testing one: FAILED!\nTesting two: .. no entries found ..FAILED!\nTesting three: \nTesting four: PASSED\n"
    assert console.parse(text).startup == (("one", False), ("two", False), ("three", None), ("four", True))


def test_the_guest_speaks_ktap() -> None:
    text = (
        "[    3.1] oolong: KTAP version 1\n[    3.2] oolong: 1..3\noolong: ok 1 release\n"
        "oolong: # dyn_ftrace_total_info 77\noolong: not ok 2 function_graph\nother: ok 9 x\n"
    )
    heard = console.parse(text)
    assert (heard.planned, heard.results) == (3, (("release", True), ("function_graph", False)))
    assert heard.total == 77


@given(st.text())
def test_garbage_is_understood_as_nothing(text: str) -> None:
    heard = console.parse(text)
    assert heard.planned is None or "oolong: 1.." in text
    assert len(heard.results) <= text.count("ok ")
    assert all(len(trouble.lines) <= console.BEFORE + console.AFTER for trouble in heard.troubles)


def test_nothing_was_said() -> None:
    heard = console.parse("")
    assert (heard.release, heard.planned, heard.powered_off, heard.gravest) == (None, None, False, None)
