"""What a kernel said on its console → what went wrong, with the lines that show it (pure).

Sources: kernel/panic.c (`__warn`, both its formats: up to 6.18, and since 6.19), arch/powerpc/kernel/traps.c,
kernel/trace/ftrace.c (`ftrace_bug`), kernel/trace/trace_selftest.c.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from oolong.errors import Kind
from oolong.machine import ktap
from oolong.machine.ktap import Case, Status

PREFIX = re.compile(r"^(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?)?")
# All patterns are linear in the length of a line: a guest may write what makes others take days.
# kernel/locking/lockdep.c, kernel/rcu/update.c: what lock debugging says, without a place; as INFO up to Linux 4.10
LOCKS = (
    r"possible (?:circular|recursive|irq lock inversion)|suspicious RCU usage|inconsistent lock state"
    r"|(?:HARDIRQ|SOFTIRQ|HARDIRQ-READ|SOFTIRQ-READ|\S+)-safe -> \S+-unsafe lock order|Nested lock was not taken"
    r"|bad (?:unlock balance|contention) detected|held lock freed|lock held when returning|\S+ still has locks held"
    r"|chain_key collision"
)
LOCKS_BEGIN = r"^(?:\[ )?(?:WARNING|INFO): "
# arch/powerpc/kernel/trace/, kernel/trace/ftrace.c: what precedes, or stands for, a `[ ftrace bug ]`
FTRACE = (
    r"^ftrace(?:-powerpc)?: .*(?:out of range|No ftrace (?:stubs|trampolines?)|fetching instruction failed"
    r"|expected \([0-9a-f]{1,16}\) != found|Unexpected target address|failed to allocate entries)"
)
PANICS = re.compile(r"Kernel panic - not syncing")
STALLED = re.compile(
    r"\bINFO: rcu\w* (?:self-)?detected|rcu: \S+ kthread (?:starved|timer wakeup didn't happen)|soft lockup"
    r"|^INFO: task .* blocked(?: in I/O wait)? for more than|[Hh]ard LOCKUP"
)
# in order of gravity: the first kind that is found names the failure
SIGNS: Sequence[tuple[Kind, re.Pattern[str]]] = (
    (Kind.FTRACE_BUG, re.compile(rf"\[ ftrace bug \]|{FTRACE}")),
    (Kind.OOPS, re.compile(r"^Oops: |kernel BUG at |^(?:\[ )?BUG[: ]|^Unable to handle kernel ")),
    (Kind.PANIC, PANICS),
    (
        Kind.WARN,
        re.compile(
            rf"^WARNING: (?:CPU: \d+ PID: \d+ at |\S+:\d+ at |at \S+, CPU#)|{LOCKS_BEGIN}(?:{LOCKS})|^UBSAN: "
            r"|^kmemleak: \d+ new suspected memory leaks|^INFO: trying to register non-static key"
        ),
    ),
    (Kind.STALL, STALLED),
)
RELEASE = re.compile(r"^Linux version (\S+) ")
ALLOCATING = re.compile(r"^ftrace: allocating (\d+) entries in \d+ pages$")
TEST = re.compile(r"^Testing (?P<title>[^:]+): ?(?P<rest>.*)$")
# the end of a test's line, which other messages may have cut off: its numbers or complaints, and its outcome
OUTCOME = re.compile(r"(?:(?:\(|\.\.|\*|can not test ).*)?(?P<outcome>PASSED|OK|FAILED!?)")
GUEST = re.compile(r"^oolong: (?P<text>.*)$")
TOTAL = re.compile(r"^# dyn_ftrace_total_info (\d+)$")
POWER_OFF = re.compile(r"^reboot: Power down$")
BEFORE, AFTER = 2, 18
# of a block that does not say where it ends, and of a title, in lines and characters
LONGEST_BLOCK, LONGEST_TITLE = 100, 120
CUT_HERE = re.compile(r"-\[ cut here \]-")
END = re.compile(r"---\[ end (?:trace|Kernel panic)|^ *expected tramp: ")
# (kind, what a line of its block says, what of it makes the title), the better ones first
TITLES: Sequence[tuple[Kind, re.Pattern[str], str]] = (
    (Kind.FTRACE_BUG, re.compile(r"\[ (ftrace bug) \]"), "{}"),
    (Kind.FTRACE_BUG, re.compile(rf"({FTRACE}.*)$"), "{}"),
    (Kind.OOPS, re.compile(r"kernel BUG at (\S+?)!"), "kernel BUG at {}"),
    (Kind.OOPS, re.compile(r"^Oops: (.+?)(?:, sig: \d+)?(?: \[#\d+\].*)?$"), "Oops: {}"),
    (Kind.OOPS, re.compile(r"^(?:\[ )?(BUG[: ].+?)(?: \])?$"), "{}"),
    (Kind.OOPS, re.compile(r"^(Unable to handle kernel .+)$"), "{}"),
    (Kind.PANIC, re.compile(r"Kernel panic - not syncing: *(.+)$"), "panic: {}"),
    (Kind.WARN, re.compile(r"^WARNING: (?:CPU: \d+ PID: \d+ at )?([^\s+]+:\d+) "), "WARNING at {}"),
    (Kind.WARN, re.compile(rf"{LOCKS_BEGIN}((?:{LOCKS}).*?)(?: \])?$"), "{}"),
    (Kind.WARN, re.compile(r"^(UBSAN: .+)$"), "{}"),
    (Kind.WARN, re.compile(r"^(kmemleak: \d+ new suspected memory leaks)"), "{}"),
    (Kind.WARN, re.compile(r"^INFO: (trying to register non-static key)"), "{}"),
    (Kind.STALL, re.compile(r"(rcu(?=: )|(?<=INFO: )rcu)"), "{} stall"),
    (Kind.STALL, re.compile(r"^INFO: (task .* blocked(?: in I/O wait)? for more than \d+ seconds)"), "{}"),
    (Kind.STALL, re.compile(r"((?:soft|[Hh]ard) (?:lockup|LOCKUP))"), "{}"),
)
UNTITLED = {Kind.PANIC: "panic", Kind.WARN: "WARNING"}
# where a block names the function that it is about
AT = re.compile(r"^WARNING: .*?(?:at |:\d+ )([^\s+:]+)\+0x")
FAILED_TO_MODIFY = re.compile(r"\[<[0-9a-f]+>\] ([^\s+]+)\+0x")
NIP = re.compile(r"^NIP \[[0-9a-f]+\] ([^\s+]+)\+0x")
CALLER = re.compile(r"^caller is ([^\s+]+)\+0x")
NAMED_BY: dict[Kind, tuple[re.Pattern[str], ...]] = {
    Kind.FTRACE_BUG: (FAILED_TO_MODIFY,),
    Kind.WARN: (AT, NIP),
    Kind.OOPS: (NIP, CALLER),
    Kind.PANIC: (NIP,),
    Kind.STALL: (NIP,),
}
# how a title goes on with the function; a stall may have caught the CPU anywhere
PLACED = {Kind.FTRACE_BUG: "on", Kind.WARN: "in", Kind.OOPS: "in", Kind.PANIC: "in"}
# digits of a count; a longer one is none
LONGEST_NUMBER = 9
# characters of a line, four times what the kernel's own log holds of one; a longer one is read as several
LONGEST_LINE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that no healthy kernel says: in one short line, and the `function` that it is about where the console
    names one. `lines` begin shortly before it; its block are the lines `first` to `last` of the console, from 1 on."""

    kind: Kind
    title: str
    function: str | None
    lines: tuple[str, ...]
    first: int
    last: int

    def as_json(self) -> dict[str, Any]:
        """All but the lines, which are those of the failed stage."""
        return {
            "kind": self.kind.value,
            "title": self.title,
            "function": self.function,
            "first": self.first,
            "last": self.last,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A console, understood. `startup` are (title, passed) of FTRACE_STARTUP_TEST, passed None where the outcome is
    missing; `planned` the number of the guest's tests, None if it never spoke, `results` (what, ok) of those that
    ended, ok where they and their subtests passed, `skipped` what did not apply and why, `problems` why these are not
    all that was planned, `notes` what it said besides; `allocated` and `total` are the kernel's two counts of its patch
    sites."""

    release: str | None
    troubles: tuple[Trouble, ...]
    startup: tuple[tuple[str, bool | None], ...]
    planned: int | None
    results: tuple[tuple[str, bool], ...]
    skipped: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    allocated: int | None
    total: int | None
    powered_off: bool
    tail: tuple[str, ...]

    @property
    def gravest(self) -> Trouble | None:
        """The trouble that names the failure; of one kind the first."""
        kinds = [kind for kind, _ in SIGNS]
        return min(self.troubles, key=lambda trouble: kinds.index(trouble.kind), default=None)


def is_stall(line: str) -> bool:
    """Whether a line of the console says that something does not get on."""
    return STALLED.search(PREFIX.sub("", line)) is not None


def is_end(line: str) -> bool:
    """Whether a line of the console is among the last ones: a panic, or that the machine is switched off."""
    text = PREFIX.sub("", line.rstrip())
    return PANICS.search(text) is not None or POWER_OFF.match(text) is not None


def parse(text: str) -> Console:
    """Understand the whole output of a machine, which may hold anything."""
    said = [piece for line in text.splitlines(keepends=True) for piece in _pieces(line)]
    # an editor counts line feeds alone
    numbers = list(accumulate((line.count("\n") for line in said), initial=1))
    lines = [PREFIX.sub("", line.rstrip()) for line in said]
    guest = [match["text"] for line in lines if (match := GUEST.match(line))]
    tests = ktap.parse(guest)
    skipped = [case for case in tests.tests if _is_skipped(case)]
    return Console(
        release=_first(RELEASE, lines),
        troubles=tuple(_troubles(lines, numbers)),
        startup=tuple(_startup(lines)),
        planned=tests.planned,
        results=tuple((case.name, case.is_ok) for case in tests.tests if not _is_skipped(case)),
        skipped=tuple(f"{case.name}: {case.reason}" for case in skipped),
        problems=tests.problems,
        notes=tuple(line for line in guest if line.startswith("#")),
        allocated=_number(ALLOCATING, lines),
        total=_number(TOTAL, guest),
        powered_off=any(POWER_OFF.match(line) for line in lines),
        tail=tuple(line for line in lines if line)[-AFTER:],
    )


def _pieces(line: str) -> Iterator[str]:
    """A line, or what it is read as where it is too long for one."""
    return (line[at : at + LONGEST_LINE] for at in range(0, len(line), LONGEST_LINE))


def _is_skipped(case: Case) -> bool:
    """Whether a test does not apply; over a subtest that failed it is one that did not pass."""
    return case.status is Status.SKIP and case.is_ok


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> str | None:
    return next((match[1] for line in lines if (match := pattern.search(line))), None)


def _number(pattern: re.Pattern[str], lines: Sequence[str]) -> int | None:
    found = _first(pattern, lines)
    return None if found is None or len(found) > LONGEST_NUMBER else int(found)


def _troubles(lines: Sequence[str], numbers: Sequence[int]) -> list[Trouble]:
    """The first of each kind with the lines around it; a WARN that belongs to a `[ ftrace bug ]` is a part of it.
    `numbers` are what an editor calls the lines."""
    found: dict[Kind, Trouble] = {}
    for number, line in enumerate(lines):
        for kind, pattern in SIGNS:
            if kind not in found and pattern.search(line):
                first, last = _block(lines, number)
                function = _function(kind, lines[number : last + 1])
                found[kind] = Trouble(
                    kind=kind,
                    title=_title(kind, lines[number : last + 1], function),
                    function=function,
                    lines=tuple(lines[max(0, number - BEFORE) : number + AFTER]),
                    first=numbers[first],
                    last=numbers[last],
                )
    return list(found.values())


def _block(lines: Sequence[str], sign: int) -> tuple[int, int]:
    """The first and the last line of the block in which a sign of trouble is."""
    first = sign - 1 if sign and CUT_HERE.search(lines[sign - 1]) else sign
    for number in range(sign + 1, min(sign + LONGEST_BLOCK, len(lines))):
        if END.search(lines[number]):
            return first, number
        if CUT_HERE.search(lines[number]):
            return first, number - 1
    return first, min(sign + AFTER, len(lines)) - 1


def _function(kind: Kind, block: Sequence[str]) -> str | None:
    return next((match[1] for pattern in NAMED_BY[kind] for line in block if (match := pattern.search(line))), None)


def _title(kind: Kind, block: Sequence[str], function: str | None) -> str:
    said = (
        form.format(match[1])
        for own, pattern, form in TITLES
        for line in block
        if own is kind and (match := pattern.search(line))
    )
    title = next(said, UNTITLED.get(kind, kind.value))
    if function and kind in PLACED:
        title += f" {PLACED[kind]} {function}"
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"


def _startup(lines: Sequence[str]) -> list[tuple[str, bool | None]]:
    """The tests in order; other messages may stand between a test's title and its outcome."""
    found: list[tuple[str, bool | None]] = []
    for line in lines:
        if match := TEST.match(line):
            found.append((match["title"], _outcome(match["rest"])))
        elif found and found[-1][1] is None:
            found[-1] = (found[-1][0], _outcome(line))
    return found


def _outcome(text: str) -> bool | None:
    """None of what is no more than another message, however that ends."""
    match = OUTCOME.fullmatch(text.strip())
    return None if match is None else not match["outcome"].startswith("FAILED")
