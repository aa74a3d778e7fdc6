"""What a kernel said on its console → what went wrong, with the lines that show it (pure).

Sources: kernel/panic.c (`__warn`, both its formats: up to 6.18, and since 6.19), arch/powerpc/kernel/traps.c,
kernel/trace/ftrace.c (`ftrace_bug`), kernel/trace/trace_selftest.c, Documentation/dev-tools/ktap.rst.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = re.compile(r"^(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?)?")
PANIC, OOPS, FTRACE_BUG, WARN, STALL = "panic", "oops", "ftrace-bug", "warn", "stall"
# in order of gravity: the first kind that is found names the failure
SIGNS: Sequence[tuple[str, re.Pattern[str]]] = (
    (FTRACE_BUG, re.compile(r"\[ ftrace bug \]")),
    (OOPS, re.compile(r"^Oops: |kernel BUG at |^BUG: |^Unable to handle kernel ")),
    (PANIC, re.compile(r"Kernel panic - not syncing")),
    (WARN, re.compile(r"^WARNING: (?:CPU: \d+ PID: \d+ at |\S+:\d+ at |at \S+, CPU#)")),
    (STALL, re.compile(r"rcu: INFO: \w+ (?:self-)?detected|^INFO: task .* blocked for more than|soft lockup")),
)
RELEASE = re.compile(r"^Linux version (\S+) ")
ALLOCATING = re.compile(r"^ftrace: allocating (\d+) entries in \d+ pages$")
TEST = re.compile(r"^Testing (?P<title>[^:]+): ?(?P<rest>.*)$")
OUTCOME = re.compile(r"(?:^|[\s.])(PASSED|OK|FAILED!?)$")
GUEST = re.compile(r"^oolong: (?P<text>.*)$")
RESULT = re.compile(r"^(?P<not>not )?ok (?P<number>\d+) (?P<what>.*)$")
SKIP = " # SKIP "
TOTAL = re.compile(r"^# dyn_ftrace_total_info (\d+)$")
POWER_OFF = re.compile(r"^reboot: Power down$")
BEFORE, AFTER = 2, 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that no healthy kernel says; `lines` begin shortly before it."""

    kind: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A console, understood. `startup` are (title, passed) of FTRACE_STARTUP_TEST, passed None where the outcome is
    missing; `planned` the number of the guest's tests, None if it never spoke, `results` (what, ok) of those that
    ended, `skipped` what did not apply and why, `notes` what it said besides; `allocated` and `total` are the kernel's
    two counts of its patch sites."""

    release: str | None
    troubles: tuple[Trouble, ...]
    startup: tuple[tuple[str, bool | None], ...]
    planned: int | None
    results: tuple[tuple[str, bool], ...]
    skipped: tuple[str, ...]
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


def parse(text: str) -> Console:
    """Understand the whole output of a machine, which may hold anything."""
    lines = [PREFIX.sub("", line.rstrip()) for line in text.splitlines()]
    guest = [match["text"] for line in lines if (match := GUEST.match(line))]
    ended = [match for line in guest if (match := RESULT.match(line))]
    return Console(
        release=_first(RELEASE, lines),
        troubles=tuple(_troubles(lines)),
        startup=tuple(_startup(lines)),
        planned=_number(re.compile(r"^1\.\.(\d+)$"), guest),
        results=tuple((match["what"], not match["not"]) for match in ended if SKIP not in match["what"]),
        skipped=tuple(match["what"].replace(SKIP, ": ") for match in ended if SKIP in match["what"]),
        notes=tuple(line for line in guest if line.startswith("#")),
        allocated=_number(ALLOCATING, lines),
        total=_number(TOTAL, guest),
        powered_off=any(POWER_OFF.match(line) for line in lines),
        tail=tuple(line for line in lines if line)[-AFTER:],
    )


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> str | None:
    return next((match[1] for line in lines if (match := pattern.search(line))), None)


def _number(pattern: re.Pattern[str], lines: Sequence[str]) -> int | None:
    found = _first(pattern, lines)
    return None if found is None else int(found)


def _troubles(lines: Sequence[str]) -> list[Trouble]:
    """The first of each kind with the lines around it; a WARN that belongs to a `[ ftrace bug ]` is a part of it."""
    found: dict[str, Trouble] = {}
    for number, line in enumerate(lines):
        for kind, pattern in SIGNS:
            if kind not in found and pattern.search(line):
                found[kind] = Trouble(kind=kind, lines=tuple(lines[max(0, number - BEFORE) : number + AFTER]))
    return list(found.values())


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
    match = OUTCOME.search(text)
    return None if match is None else not match[1].startswith("FAILED")
