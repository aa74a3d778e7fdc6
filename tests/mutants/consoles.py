"""Mutants of what a healthy machine says, and of what the stage boot makes of it, each with one thing wrong.

The places come from the console itself: each line that means something is lost, changed and cut off in turn, and each
sign of trouble stands at several places, with each prefix that a kernel may give it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from oolong.audit.check import CheckStatus
from oolong.engine.stage import Outcome, StageResult, StageStatus
from oolong.errors import Kind
from oolong.host.sandbox import Ran
from oolong.machine import console
from oolong.machine.console import ALLOCATING, GUEST, POWER_OFF, RELEASE, TEST
from oolong.machine.run import Ended
from oolong.spec.model import Cell, Expect
from oolong.stages import boot
from oolong.stubs.areas import StubAreas
from oolong.verdict.judge import Declared, judge
from oolong.verdict.known_issues import Facts

RESULT = re.compile(r"oolong: (?:not )?ok (?P<number>\d+) (?P<name>.*)")
PLAN = re.compile(r"oolong: 1\.\.(?P<number>\d+)")
TOTAL = re.compile(r"oolong: # dyn_ftrace_total_info (?P<number>\d+)")
OUTCOME = re.compile(r"(?:^|(?<=[\s)]))(PASSED|OK)$")
PREFIXES = "", "[    1.500000] ", "[    1.500000][    T1] ", "<4>[    1.500000][    C0] "
SIGNS: Sequence[str] = (
    "------------[ ftrace bug ]------------",
    "Oops: Kernel access of bad area, sig: 11 [#1]",
    "Oops: Exception in kernel mode, sig: 5 [#1]",
    "kernel BUG at kernel/trace/ftrace.c:2100!",
    "BUG: Unable to handle kernel data access on write at 0x00000010",
    "BUG: using smp_processor_id() in preemptible code: init/1",
    "Unable to handle kernel paging request for data at address 0x00000010",
    "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b",
    "WARNING: CPU: 0 PID: 1 at kernel/trace/ftrace.c:2100 ftrace_bug+0x10/0x20",
    "WARNING: arch/powerpc/kernel/trace/ftrace.c:217 at ftrace_init_nop+0x0/0x0, CPU#0: swapper/0",
    "WARNING: at ftrace_init_nop+0x0/0x0, CPU#1: swapper/0",
    "rcu: INFO: rcu_sched self-detected stall on CPU",
    "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
    "INFO: task init:1 blocked for more than 120 seconds.",
    "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [init:1]",
)
# digits of a number that no kernel counts to
LONG = "9" * 20
# what is changed -> why it makes no difference to a verdict
EQUIVALENT: Mapping[str, str] = {
    "another release": "the guest compares it with what it was built for, and its test `release` then fails",
    "another name of a test": "the guest's program is in the recipe: the numbers say that each test ended",
    "a count announced twice": "the first is taken, and both are the same",
    "a note lost": "notes are for people, but for the count of sites",
    "a line that means nothing, lost": "nobody reads it",
}
COUNT_BITS = 30


class Mutant(NamedTuple):
    """What was changed, where, and what the console then says."""

    kind: str
    what: str
    text: str


def consoles(healthy: str) -> Iterator[Mutant]:
    """All mutants of a console."""
    lines = healthy.splitlines()
    for kind, number, *others in _changes(lines):
        text = "\n".join([*lines[:number], *others, *lines[number + 1 :]])
        yield Mutant(kind, f"line {number + 1}", text)
    for number, line in enumerate(lines):
        if not POWER_OFF.match(line):
            yield Mutant("cut off", f"after line {number + 1}", "\n".join(lines[: number + 1]))
    for number in _places(lines):
        for sign in SIGNS:
            for prefix in PREFIXES:
                text = "\n".join([*lines[:number], f"{prefix}{sign}", *lines[number:]])
                yield Mutant("a sign of trouble", f"{prefix}{sign} before line {number + 1}", text)


def _places(lines: Sequence[str]) -> list[int]:
    """Before the count of sites, a startup test, the first process, a test of the guest, the end."""
    first = (ALLOCATING, TEST, re.compile(r"Run /init"), RESULT, POWER_OFF)
    return [next(number for number, line in enumerate(lines) if pattern.match(line)) for pattern in first]


def _changes(lines: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """(kind, number of the line, the lines in its place)."""
    for number, line in enumerate(lines):
        if match := ALLOCATING.match(line):
            yield "the kernel's count", number
            yield "a count announced twice", number, line, line
            for other in _numbers(match[1]):
                yield "the kernel's count", number, line.replace(match[1], other)
        elif match := TOTAL.fullmatch(line):
            yield "the guest's count", number
            yield "a count announced twice", number, line, line
            for other in _numbers(match["number"]):
                yield "the guest's count", number, line.replace(match["number"], other)
        elif match := PLAN.fullmatch(line):
            yield "the plan", number
            yield "the plan", number, line, line
            for other in _numbers(match["number"]):
                yield "the plan", number, f"oolong: 1..{other}"
        elif match := RESULT.fullmatch(line):
            yield from _results(lines, number, match)
        elif match := TEST.match(line):
            yield "a startup test lost", number
            yield "a startup test of another name", number, line.replace(match["title"], f"{match['title']} too")
        elif POWER_OFF.match(line):
            yield "the end", number
            for other in ("reboot: Restarting system", "reboot: System halted", line[:-1]):
                yield "the end", number, other
        elif match := RELEASE.match(line):
            yield "another release", number, line.replace(match[1], f"{match[1]}1")
        elif GUEST.match(line) and "#" in line:
            yield "a note lost", number
        elif not GUEST.match(line) and not OUTCOME.search(line):
            yield "a line that means nothing, lost", number
        if OUTCOME.search(line):
            for outcome in ("FAILED!", ".. FAILED!", "FAILED", "PASS", ""):
                yield "the outcome of a startup test", number, OUTCOME.sub(outcome, line)


def _results(lines: Sequence[str], number: int, match: re.Match[str]) -> Iterator[tuple[Any, ...]]:
    line, own = lines[number], match["number"]
    yield "a result lost", number
    yield "a result twice", number, line, line
    yield "a test failed", number, f"oolong: not ok {own} {match['name']}"
    yield "a test failed", number, f"oolong: ok {own} {match['name']} # TIMEOUT"
    yield "a test failed", number, f"oolong: ok {own} {match['name']} # ERROR no room"
    yield "the guest gave up", number, "oolong: Bail out! no tracefs"
    yield "the number of a result", number, f"oolong: ok {match['name']}"
    for other in _numbers(own):
        yield "the number of a result", number, f"oolong: ok {other} {match['name']}"
    yield "another name of a test", number, f"oolong: ok {own} another"


def _numbers(digits: str) -> Iterator[str]:
    """Other numbers: one more, one less, each digit another one, a digit lost, and one that is too long."""
    value = int(digits)
    yield str(value + 1)
    if value:
        yield str(value - 1)
    for at, digit in enumerate(digits):
        yield f"{digits[:at]}{(int(digit) + 5) % 10}{digits[at + 1 :]}"
    if len(digits) > 1:
        yield digits[1:]
    yield LONG


def judged(text: str, cell: Cell, *, text_sites: int, sites: int) -> tuple[str, ...]:
    """The checks that fail when a machine says this: by the stage boot, then by the verdict."""
    heard = console.parse(text)
    # what the judgement of a boot does not look at is not there
    told: dict[str, Any] = dict.fromkeys(Ended.__dataclass_fields__)
    told["ran"] = Ran(returncode=0, timed_out=False, lines=())
    data = {
        "release": heard.release,
        "allocated": heard.allocated,
        "total": heard.total,
        "tests": len(heard.results),
        "skipped": list(heard.skipped),
        "startup_tests": len(heard.startup),
        "stops": [],
    }
    return failing(
        result("boot", boot._judge(cell, heard, Ended(**told), data=data)), text_sites=text_sites, sites=sites
    )


def result(stage: str, outcome: Outcome) -> StageResult:
    """An outcome as the verdict gets it."""
    return StageResult(
        stage=stage,
        digest="0" * 64,
        folder=Path("/nowhere"),
        status=outcome.status,
        kind=outcome.kind,
        lines=outcome.lines,
        artifacts={},
        trees={},
        data=outcome.data,
        keep=outcome.keep,
        blocks=outcome.blocks,
        seconds=1.0,
    )


def failing(booted: StageResult, *, text_sites: int, sites: int) -> tuple[str, ...]:
    """The checks of a verdict that fail, where all stages before the boot are in order."""
    init = sites - text_sites
    reserve = text_sites
    areas = StubAreas(text=reserve, text_end=0, inittext=init).as_json()
    counts = {"reserve": reserve, "text": text_sites, "text_end": 0, "inittext": init, "total": sites, "exit": 0}
    before = (
        Outcome(data={"out_of_line": True, **counts}),
        Outcome(data={"areas": areas}),
        Outcome(data={"checks": [], "sites": {"text": text_sites, "inittext": init}}),
    )
    stages = [result(name, one) for name, one in zip(("stubs", "link", "audit-image"), before, strict=True)]
    facts = Facts(axes={"endian": "le"}, release="7.3.4", config={})
    verdict = judge([*stages, booted], declared=Declared(expect=Expect()), facts=facts)
    return tuple(check.name for check in verdict.checks if check.status is CheckStatus.FAIL)


class Booted(NamedTuple):
    """A mutant of what the verdict gets from the stage boot."""

    kind: str
    what: str
    result: StageResult


def boot_data(healthy: StageResult) -> Iterator[Booted]:
    """All mutants of a boot's result."""
    for name in ("allocated", "total"):
        value = healthy.data[name]
        wrong = [value ^ 1 << bit for bit in range(COUNT_BITS)]
        for other in (*wrong, value + 1, value - 1, -value, 0, None, str(value), [value], value + 0.5, True):
            made = replace(healthy, data={**healthy.data, name: other})
            yield Booted(f"the count `{name}`", repr(other), made)
    swapped = {"allocated": healthy.data["total"], "total": healthy.data["allocated"]}
    yield Booted("the counts swapped", "", replace(healthy, data={**healthy.data, **swapped}))
    for kind in Kind:
        for lines in ((), ("what the machine said",)):
            failed = replace(healthy, status=StageStatus.FAIL, kind=kind, lines=lines)
            yield Booted("a failure", f"{kind.value}, {len(lines)} lines", failed)
