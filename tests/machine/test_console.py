import re

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
# (kind, title) of each other message that no healthy kernel says, as its kernel prints it
MORE = {
    "WARNING: possible circular locking dependency detected": (
        "warn",
        "possible circular locking dependency detected",
    ),
    "WARNING: possible recursive locking detected": ("warn", "possible recursive locking detected"),
    "WARNING: possible irq lock inversion dependency detected": (
        "warn",
        "possible irq lock inversion dependency detected",
    ),
    "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected": (
        "warn",
        "SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
    ),
    "WARNING: suspicious RCU usage": ("warn", "suspicious RCU usage"),
    "WARNING: inconsistent lock state": ("warn", "inconsistent lock state"),
    "WARNING: bad unlock balance detected!": ("warn", "bad unlock balance detected!"),
    "WARNING: held lock freed!": ("warn", "held lock freed!"),
    "WARNING: init/1 still has locks held!": ("warn", "init/1 still has locks held!"),
    "WARNING: lock held when returning to user space!": ("warn", "lock held when returning to user space!"),
    "INFO: trying to register non-static key.": ("warn", "trying to register non-static key"),
    "UBSAN: array-index-out-of-bounds in kernel/trace/ftrace.c:10:3": (
        "warn",
        "UBSAN: array-index-out-of-bounds in kernel/trace/ftrace.c:10:3",
    ),
    "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)": (
        "warn",
        "kmemleak: 3 new suspected memory leaks",
    ),
    # kernel/locking/lockdep.c, and as it was up to Linux 4.10
    "[ BUG: Invalid wait context ]": ("oops", "BUG: Invalid wait context"),
    "[ INFO: possible recursive locking detected ]": ("warn", "possible recursive locking detected"),
    "INFO: possible recursive locking detected": ("warn", "possible recursive locking detected"),
    "[ INFO: suspicious RCU usage. ]": ("warn", "suspicious RCU usage."),
    # mm/slub.c
    "BUG kmalloc-64 (Not tainted): Redzone overwritten": ("oops", "BUG kmalloc-64 (Not tainted): Redzone overwritten"),
    "BUG: KASAN: slab-use-after-free in ftrace_bug+0x10/0x20": (
        "oops",
        "BUG: KASAN: slab-use-after-free in ftrace_bug+0x10/0x20",
    ),
    # without the prefix of kernel/rcu/tree_stall.h
    "INFO: rcu_preempt self-detected stall on CPU": ("stall", "rcu stall"),
    "INFO: rcu_tasks detected stalls on tasks:": ("stall", "rcu stall"),
    "INFO: task rcu_gp:1 blocked for more than 120 seconds.": (
        "stall",
        "task rcu_gp:1 blocked for more than 120 seconds",
    ),
    "BUG: Bad page state in process init  pfn:00012": ("oops", "BUG: Bad page state in process init  pfn:00012"),
    "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-.... } 21 jiffies s: 5 root: 0x1/.": (
        "stall",
        "rcu stall",
    ),
    "rcu: rcu_sched kthread starved for 2100 jiffies! g-1131 f0x2 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=3": (
        "stall",
        "rcu stall",
    ),
    "watchdog: CPU 2 self-detected hard LOCKUP @ kernel_clone+0x10/0x20": ("stall", "hard LOCKUP"),
    "INFO: task init:1 blocked in I/O wait for more than 120 seconds.": (
        "stall",
        "task init:1 blocked in I/O wait for more than 120 seconds",
    ),
    "ftrace-powerpc: ftrace_init_ool_stub: ftrace ool stub out of range (0 -> 4).": (
        "ftrace-bug",
        "ftrace-powerpc: ftrace_init_ool_stub: ftrace ool stub out of range (0 -> 4).",
    ),
    "ftrace-powerpc: 0xc0000000 (0xc0000004): No ftrace stubs reachable": (
        "ftrace-bug",
        "ftrace-powerpc: 0xc0000000 (0xc0000004): No ftrace stubs reachable",
    ),
    "ftrace-powerpc: 0xc0000000: expected (60000000) != found (48000001)": (
        "ftrace-bug",
        "ftrace-powerpc: 0xc0000000: expected (60000000) != found (48000001)",
    ),
    "ftrace: failed to allocate entries for functions": (
        "ftrace-bug",
        "ftrace: failed to allocate entries for functions",
    ),
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


@pytest.mark.parametrize("line", MORE)
def test_each_message_of_a_kernel_that_is_not_well_is_a_trouble(line: str) -> None:
    trouble = console.parse(f"[    1.5][    T1] {line}\n").gravest
    assert trouble
    assert (trouble.kind.value, trouble.title) == MORE[line]


def test_a_stall_and_an_end_are_known_by_their_line() -> None:
    stalls = [line for line in (*KINDS.values(), *MORE) if console.is_stall(f"[    1.5][    C0] {line}\r")]
    assert stalls == [KINDS["stall"], *(line for line, (kind, _) in MORE.items() if kind == "stall")]
    ends = [line for line in (*KINDS.values(), *MORE, "[    9.0][    T1] reboot: Power down\r") if console.is_end(line)]
    assert ends == [KINDS["panic"], "[    9.0][    T1] reboot: Power down\r"]


# (what a console says; kind, title and function of its trouble, the first and the last line of the block)
TOLD = {
    "an rcu stall": (
        """\
[    4.1][    T1] Testing dynamic ftrace ops #1:
[    4.2][    T1] (3 2 4 56682 57106)
[   25.3][    C0] rcu: INFO: rcu_sched self-detected stall on CPU
[   25.3][    C0] rcu: 	0-....: (2099 ticks this GP) idle=0b1c/1/0x4000000000000002 softirq=54/54 fqs=1050
[   25.3][    C0] CPU: 0 UID: 0 PID: 1 Comm: swapper/0 Not tainted 7.3.4 #1 PREEMPTLAZY
[   25.3][    C0] NIP [c0000000000a1b2c] smp_call_function_many_cond+0x1ac/0x5f0
""",
        ("stall", "rcu stall", "smp_call_function_many_cond", 3, 6),
    ),
    "an ftrace bug": (
        """\
Testing dynamic ftrace ops #1:
Testing tracer function:
------------[ ftrace bug ]------------
ftrace failed to modify
[<c00000000015b0d8>] kernel_clone+0x8/0x564
 actual:   60:00:00:01
Setting ftrace call site to call ftrace function
ftrace record flags: 80000001
 (1)
 expected tramp: c00000000005e060
------------[ cut here ]------------
WARNING: kernel/trace/ftrace.c:2219 at ftrace_bug+0x2d8/0x310, CPU#0: swapper/0/1
NIP [c0000000001c8f88] ftrace_bug+0x2d8/0x310
---[ end trace 0000000000000000 ]---
""",
        ("ftrace-bug", "ftrace bug on kernel_clone", "kernel_clone", 3, 10),
    ),
    "an ftrace bug that the boot cut short": (
        "------------[ ftrace bug ]------------\nftrace faulted on unknown error\n",
        ("ftrace-bug", "ftrace bug", None, 1, 2),
    ),
    "an oops": (
        """\
[    5.1][    T1] Run /init as init process
[    5.2][    T1] BUG: Unable to handle kernel data access on write at 0x00000010
[    5.2][    T1] Faulting instruction address: 0xc0000000000f8d64
[    5.2][    T1] Oops: Kernel access of bad area, sig: 11 [#1]
[    5.2][    T1] LE PAGE_SIZE=64K MMU=Radix SMP NR_CPUS=4 pSeries
[    5.2][    T1] NIP:  c0000000000f8d64 LR: c0000000000f8d40 CTR: 0000000000000000
[    5.2][    T1] NIP [c0000000000f8d64] foo+0x24/0x60
[    5.2][    T1] LR [c0000000000f8d40] bar+0x0/0x60
[    5.2][    T1] ---[ end trace 0000000000000000 ]---
[    5.3][    T1] note: init[1] exited with irqs disabled
""",
        ("oops", "Oops: Kernel access of bad area in foo", "foo", 2, 9),
    ),
    "a BUG": (
        """\
------------[ cut here ]------------
kernel BUG at kernel/trace/ftrace.c:2100!
Oops: Exception in kernel mode, sig: 5 [#1]
NIP [c0000000001c8f88] ftrace_process_locs+0x88/0x910
---[ end trace 0000000000000000 ]---
""",
        ("oops", "kernel BUG at kernel/trace/ftrace.c:2100 in ftrace_process_locs", "ftrace_process_locs", 1, 5),
    ),
    "a BUG that has a caller": (
        "BUG: using smp_processor_id() in preemptible code: init/1\n"
        "caller is tick_setup+0x20/0x40\nCPU: 0 UID: 0 PID: 1 Comm: init\n",
        ("oops", "BUG: using smp_processor_id() in preemptible code: init/1 in tick_setup", "tick_setup", 1, 3),
    ),
    "a jump to nowhere": (
        "Oops: Kernel access of bad area, sig: 11 [#1]\nNIP [0000000000000000] 0x0\n"
        "LR [c0000000000f8d40] bar+0x0/0x60\n---[ end trace 0000000000000000 ]---\n",
        ("oops", "Oops: Kernel access of bad area", None, 1, 4),
    ),
    "a panic": (
        "VFS: Cannot open root device\n"
        "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\nCPU: 0 UID: 0 PID: 1\n"
        "---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---\nRebooting\n",
        ("panic", "panic: VFS: Unable to mount root fs on unknown-block(0,0)", None, 2, 4),
    ),
    "a warning as it was up to 6.18": (
        "------------[ cut here ]------------\n"
        "WARNING: CPU: 0 PID: 1 at kernel/trace/ftrace.c:2100 ftrace_bug+0x10/0x20\nModules linked in:\n",
        ("warn", "WARNING at kernel/trace/ftrace.c:2100 in ftrace_bug", "ftrace_bug", 1, 3),
    ),
    "a warning": (
        "WARNING: kernel/trace/ftrace.c:217 at ftrace_init_nop+0x0/0x0, CPU#0: swapper/0\n",
        ("warn", "WARNING at kernel/trace/ftrace.c:217 in ftrace_init_nop", "ftrace_init_nop", 1, 1),
    ),
    "a warning without a place": (
        "WARNING: at ftrace_init_nop+0x0/0x0, CPU#1: swapper/0\n",
        ("warn", "WARNING in ftrace_init_nop", "ftrace_init_nop", 1, 1),
    ),
    "a task that waits": (
        "INFO: task kworker/0:1:12 blocked for more than 120 seconds.\n      Not tainted 7.3.4 #1\n",
        ("stall", "task kworker/0:1:12 blocked for more than 120 seconds", None, 1, 2),
    ),
    "a soft lockup": (
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [init:1]\n",
        ("stall", "soft lockup", None, 1, 1),
    ),
}


@pytest.mark.parametrize("what", TOLD)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_trouble_has_a_title_and_a_place(what: str, end: str) -> None:
    text, told = TOLD[what]
    trouble = console.parse(text.replace("\n", end)).gravest
    assert trouble
    assert (trouble.kind, trouble.title, trouble.function, trouble.first, trouble.last) == told
    assert trouble.as_json() == dict(zip(("kind", "title", "function", "first", "last"), told, strict=True))


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    """A return alone, and a form feed, end no line of the file."""
    trouble = console.parse("one\rone\x0cone\ntwo\nKernel panic - not syncing: x\n").gravest
    assert trouble
    assert (trouble.first, trouble.last) == (3, 3)


def test_a_block_without_an_end_is_no_longer_than_its_lines() -> None:
    lines = ["Oops: Exception in kernel mode, sig: 5 [#1]", *(f"line {number}" for number in range(500))]
    trouble = console.parse("\n".join(lines)).gravest
    assert trouble
    assert (trouble.first, trouble.last, trouble.function) == (1, console.AFTER, None)


def test_a_title_is_short_whatever_was_said() -> None:
    trouble = console.parse(f"BUG: {'x' * 5000}\n").gravest
    assert trouble
    assert len(trouble.title) == console.LONGEST_TITLE


@pytest.mark.parametrize(
    "harmless",
    [
        "WARNING: nvram corruption detected: 0-length partition",
        "kernel command line: panic=-1 oops=panic",
        "Debug: BUG_ON is off",
        "reboot: Power down",
        "ftrace: allocating 10385 entries in 8 pages",
        "WARNING: CPU feature is deprecated",
        "rcu: \tRCU CPU stall warnings are off",
        "INFO: lockdep is turned off.",
        "BUG_ON is off",
        "INFO: possible CPUs: 4",
        "kmemleak: Kernel memory leak detector initialized",
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


@pytest.mark.parametrize(
    "other", ["smp: Brought up 1 node, 4 CPUs, all OK", "ata1: softreset FAILED", "selftest PASSED"]
)
def test_what_another_message_ends_in_is_the_outcome_of_no_test(other: str) -> None:
    text = f"Testing tracer function: \n{other}\n..FAILED!\nTesting tracer nop: PASSED\n"
    assert console.parse(text).startup == (("tracer function", False), ("tracer nop", True))


@pytest.mark.parametrize(
    ("rest", "passed"),
    [
        ("PASSED", True),
        ("(1 0 1 0 0) PASSED", True),
        (" ... kernel command line filter set: force PASS ... PASSED", True),
        ("can not test ... force PASSED", True),
        (".. no entries found ..FAILED!", False),
        ("*callback never called* FAILED!", False),
        ("*** PROBE: could not register *** FAILED!", False),
        (".. corrupted trace buffer .. FAILED!", False),
    ],
)
@pytest.mark.parametrize("cut", ["", "\n[    0.1][    T1] another message\n[    0.1][    T1] "])
def test_an_outcome_is_what_the_kernel_prints_after_a_title(rest: str, passed: bool, cut: str) -> None:
    assert console.parse(f"Testing tracer regs: {cut}{rest}\n").startup == (("tracer regs", passed),)


def test_the_guest_speaks_ktap() -> None:
    text = (
        "[    3.1] oolong: KTAP version 1\n[    3.2] oolong: 1..3\noolong: ok 1 release\n"
        "oolong: # dyn_ftrace_total_info 77\noolong: not ok 2 function_graph\nother: ok 9 x\n"
    )
    heard = console.parse(text)
    assert (heard.planned, heard.results) == (3, (("release", True), ("function_graph", False)))
    assert heard.total == 77


NOT_PASSED = {
    "a known failure": "1..1\nnot ok 1 a # TODO later\n",
    "an expected failure": "1..1\nnot ok 1 a # XFAIL never\n",
    "a failed subtest": "1..1\n  KTAP version 1\n  1..2\n  not ok 1 x\n  ok 2 y\nok 1 a\n",
    "a failed subtest of one that is skipped": "1..1\n  KTAP version 1\n  1..1\n  not ok 1 x\nok 1 a # SKIP why\n",
    "a known failure of a subtest": "1..1\n  KTAP version 1\n  1..1\n  not ok 1 x # TODO y\nok 1 a\n",
    "a timeout": "1..1\nok 1 a # TIMEOUT\n",
}


@pytest.mark.parametrize("what", NOT_PASSED)
def test_no_more_than_a_pass_is_one(what: str) -> None:
    heard = console.parse("".join(f"oolong: {line}\n" for line in NOT_PASSED[what].splitlines()))
    assert (heard.results, heard.skipped) == ((("a", False),), ())


def test_a_skipped_subtest_takes_nothing_from_its_test() -> None:
    heard = console.parse("oolong: 1..1\noolong:   1..2\noolong:   ok 1 x\noolong:   ok 2 y # SKIP z\noolong: ok 1 a\n")
    assert (heard.results, heard.problems) == ((("a", True),), ())


# what takes a pattern that is quadratic in the length of a line days
ENDLESS = {
    "dashes after a warning": f"WARNING: at a+0x0/0x0, CPU#0: x\n{'-' * (1 << 20)}\n",
    "a complaint of ftrace": f"ftrace: {'expected (' * (1 << 18)}\n",
    "complaints of RCU": "rcu: " * (1 << 18),
    "a task that waits": f"INFO: task x blocked for more than 1 s{' blocked for more than' * (1 << 18)}\n",
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_line_without_end_is_read_in_time(what: str) -> None:
    heard = console.parse(ENDLESS[what])
    assert all(len(line) <= console.LONGEST_LINE for trouble in heard.troubles for line in trouble.lines)
    assert all(len(line) <= console.LONGEST_LINE for line in heard.tail)


@pytest.mark.parametrize("what", ENDLESS)
def test_each_pattern_is_linear(what: str) -> None:
    """Also without the bound of a line: of the largest console's lines each may be as long as that."""
    line = max(ENDLESS[what].split("\n"), key=len)
    patterns = [one for one in vars(console).values() if isinstance(one, re.Pattern)]
    patterns += [pattern for _, pattern in console.SIGNS] + [pattern for _, pattern, _ in console.TITLES]
    assert len(patterns) > 20
    for pattern in patterns:
        (pattern.fullmatch if pattern is console.OUTCOME else pattern.search)(line)


def test_what_ends_a_long_line_is_read() -> None:
    heard = console.parse(f"{'x' * 100_000}Kernel panic - not syncing: y\none\n")
    assert heard.gravest
    assert (heard.gravest.kind, heard.gravest.first, heard.gravest.last) == ("panic", 1, 2)


@given(st.text())
def test_garbage_is_understood_as_nothing(text: str) -> None:
    heard = console.parse(text)
    assert heard.planned is None or "oolong: 1.." in text
    assert len(heard.results) <= text.count("ok ")
    assert all(len(trouble.lines) <= console.BEFORE + console.AFTER for trouble in heard.troubles)
    assert all(1 <= trouble.first <= trouble.last <= text.count("\n") + 1 for trouble in heard.troubles)


def test_nothing_was_said() -> None:
    heard = console.parse("")
    assert (heard.release, heard.planned, heard.powered_off, heard.gravest) == (None, None, False, None)


def test_a_guest_that_ends_a_test_twice_has_not_ended_all() -> None:
    heard = console.parse("oolong: KTAP version 1\noolong: 1..2\noolong: ok 1 a\noolong: ok 1 a\n")
    assert (heard.planned, len(heard.results)) == (2, 2)
    assert heard.problems == ("ended test 1 where 2 was next",)


def test_a_count_of_thousands_of_digits_is_none() -> None:
    digits = "9" * 5000
    counts = f"ftrace: allocating {digits} entries in 1 pages\noolong: # dyn_ftrace_total_info {digits}\n"
    heard = console.parse(f"{counts}oolong: 1..{digits}\n")
    assert (heard.allocated, heard.planned, heard.total) == (None, None, None)
