"""Lines of KTAP version 1, and of TAP as kselftest writes it → a tree of results with what is wrong in it (pure).

Source: Documentation/dev-tools/ktap.rst; tools/testing/selftests/kselftest/runner.sh, which puts `# ` before the lines
of a nested test where KTAP indents them. The input may hold anything, and may end anywhere.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

# levels of subtests: deeper lines are diagnostics
DEEPEST = 16
# digits of a number of tests; a longer one is none
LONGEST_NUMBER = 9

_PREFIX = re.compile(r"(?:# | )*")
_VERSION = re.compile(r"(?:KTAP version 1|TAP version 1[34])\s*")
_PLAN = re.compile(r"1\.\.([0-9]+)\s*(?:#\s*(?:SKIP\b)?(.*))?", re.IGNORECASE)
_RESULT = re.compile(r"(not )?ok(?: ([0-9]+))?(?: -)?(?: (.*))?")
_REMARK = re.compile(r"(?:^|\s)#(?:\s*(SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:?\s*|\s+)", re.IGNORECASE)
_SUBTEST = re.compile(r"# Subtest: ")
_BAIL = re.compile(r"Bail out!\s*(.*)")


class Status(StrEnum):
    """How a test ended; EXPECTED is a failure that is known (TODO, XFAIL), FAIL is also a timeout and an error."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SKIP = "skip"
    EXPECTED = "expected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many tests without subtests ended in which way."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    expected: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped + self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One result line. `number` is None if absent or out of range; `directive` is in upper case, or empty; `reason` is
    the rest of the line's remark; `diagnostics` are the lines since the result before it."""

    number: int | None
    name: str
    status: Status
    directive: str
    reason: str
    diagnostics: tuple[str, ...]
    subtests: "Results | None"

    @property
    def is_ok(self) -> bool:
        """Whether it passed or was skipped, and its subtests are all there and did so too: a failure that is known is
        no pass."""
        return self.status in (Status.PASS, Status.SKIP) and (self.subtests is None or self.subtests.is_ok)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The tests of one level. `planned` is None without a plan, or with one out of range; `skipped` is the reason of a
    plan without tests; `diagnostics` follow the last result; `bailed` is the reason of a bail-out, None without one;
    `orphans` are subtests whose own result never came; `faults` are lines out of place."""

    planned: int | None
    skipped: str
    tests: tuple[Case, ...]
    diagnostics: tuple[str, ...]
    bailed: str | None
    orphans: tuple["Results", ...]
    faults: tuple[str, ...]

    @property
    def leaves(self) -> tuple[Case, ...]:
        """The tests that have no subtests, of all levels, in order; those of orphans come last."""
        return tuple(self._leaves())

    @property
    def counts(self) -> Counts:
        """What the leaves came to."""
        found = [test.status for test in self._leaves()]
        return Counts(
            passed=found.count(Status.PASS),
            failed=found.count(Status.FAIL),
            skipped=found.count(Status.SKIP),
            expected=found.count(Status.EXPECTED),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Why these are not the results of everything that was planned; empty if they are."""
        return tuple(self._problems())

    @property
    def is_complete(self) -> bool:
        """Whether every level has a plan, and each planned test ended once, in order."""
        return not self.problems

    @property
    def is_ok(self) -> bool:
        """Complete, and every test passed or was skipped, at each level."""
        return self.is_complete and all(test.is_ok for test in self.tests)

    def _all(self) -> Iterator[Case]:
        for test in self.tests:
            yield test
            if test.subtests:
                yield from test.subtests._all()
        for orphan in self.orphans:
            yield from orphan._all()

    def _leaves(self) -> Iterator[Case]:
        return (test for test in self._all() if test.subtests is None)

    def _problems(self) -> Iterator[str]:
        if self.planned is None:
            yield f"gave no plan and ended {len(self.tests)} tests"
        elif self.planned != len(self.tests):
            yield f"planned {self.planned} tests and ended {len(self.tests)}"
        for place, test in enumerate(self.tests, start=1):
            if test.number != place:
                yield f"ended test {test.number or 'without a number'} where {place} was next"
                break
        yield from self.faults
        if self.bailed is not None:
            yield f"bailed out: {self.bailed}"
        for test in self.tests:
            if test.subtests:
                yield from (f"{test.name}: {problem}" for problem in test.subtests._problems())
        for orphan in self.orphans:
            yield "began subtests that have no result"
            yield from orphan._problems()


def parse(lines: Iterable[str]) -> Results:
    """Understand the lines of one document; a level is told by what stands before its lines."""
    levels = [_Level("")]
    for raw in lines:
        line = raw.rstrip()
        prefix, body = _split(line)
        if body is None:
            levels[-1].diagnose(line)
            continue
        depth = _depth(levels, prefix, body)
        if depth is None:
            levels[-1].diagnose(line)
            continue
        while len(levels) - 1 > depth:
            ended = levels.pop()
            levels[-1].waiting.append(ended.results())
        if levels[-1].prefix != prefix:
            levels.append(_Level(prefix))
        elif len(levels) > 1 and _VERSION.fullmatch(body) and not levels[-1].is_new:
            levels[-2].waiting.append(levels.pop().results())
            levels.append(_Level(prefix))
        levels[-1].take(body)
    while len(levels) > 1:
        ended = levels.pop()
        levels[-1].waiting.append(ended.results())
    return levels[0].results()


def _split(line: str) -> tuple[str, str | None]:
    """A line that means something, as what stands before it and itself; None for a diagnostic."""
    found = _PREFIX.match(line)
    assert found
    prefix, body = found[0], line[found.end() :]
    if any(pattern.fullmatch(body) for pattern in (_VERSION, _PLAN, _RESULT, _BAIL)):
        return prefix, body
    return prefix, None


def _depth(levels: list["_Level"], prefix: str, body: str) -> int | None:
    """The level that stays open for a line: its own, or the one that it opens a level below; None if it is no more than
    a diagnostic, since a level begins with its version or its plan."""
    for depth, level in enumerate(levels):
        if level.prefix == prefix:
            return depth
    begins = _VERSION.fullmatch(body) or _PLAN.fullmatch(body)
    outer = [depth for depth, level in enumerate(levels) if prefix.startswith(level.prefix)]
    return outer[-1] if begins and outer[-1] < DEEPEST else None


@dataclass
class _Level:
    """A level while its lines come; `waiting` are subtests whose own result has not come yet."""

    prefix: str
    planned: int | None = None
    skipped: str = ""
    tests: list[Case] = field(default_factory=list)
    diagnostics: list[str] = field(default_factory=list)
    bailed: str | None = None
    waiting: list[Results] = field(default_factory=list)
    orphans: list[Results] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    versions: int = 0
    plans: int = 0

    @property
    def is_new(self) -> bool:
        return not (self.tests or self.waiting or self.versions or self.plans)

    def diagnose(self, line: str) -> None:
        text = line.removeprefix(self.prefix)
        if text and not _SUBTEST.match(text.lstrip()):
            self.diagnostics.append(text)

    def take(self, body: str) -> None:
        if _VERSION.fullmatch(body):
            self.versions += 1
            if self.versions == 2:
                self.faults.append("began twice")
        elif match := _PLAN.fullmatch(body):
            self.plans += 1
            if self.plans == 2:
                self.faults.append("gave two plans")
            self.planned = _number(match[1])
            self.skipped = (match[2] or "").strip()
        elif match := _BAIL.fullmatch(body):
            self.bailed = match[1]
        elif match := _RESULT.fullmatch(body):
            self._end(match)

    def _end(self, match: re.Match[str]) -> None:
        name, directive, reason = _described(match[3] or "")
        # of several only the last can be this test's own
        self.orphans += self.waiting[:-1]
        self.tests.append(
            Case(
                number=_number(match[2]),
                name=name,
                status=_status(not match[1], directive),
                directive=directive,
                reason=reason,
                diagnostics=tuple(self.diagnostics),
                subtests=self.waiting[-1] if self.waiting else None,
            )
        )
        self.waiting, self.diagnostics = [], []

    def results(self) -> Results:
        return Results(
            planned=self.planned,
            skipped=self.skipped,
            tests=tuple(self.tests),
            diagnostics=tuple(self.diagnostics),
            bailed=self.bailed,
            orphans=(*self.orphans, *self.waiting),
            faults=tuple(self.faults),
        )


def _described(text: str) -> tuple[str, str, str]:
    """The name, the directive and the reason; a `#` right before another word is a part of the name."""
    found = _REMARK.search(text)
    if not found:
        return text.strip(), "", ""
    return text[: found.start()].strip(), (found[1] or "").upper(), text[found.end() :].strip()


def _status(ok: bool, directive: str) -> Status:
    if directive == "SKIP":
        return Status.SKIP
    if directive in ("TIMEOUT", "ERROR"):
        return Status.FAIL
    if ok:
        return Status.PASS
    return Status.EXPECTED if directive in ("TODO", "XFAIL") else Status.FAIL


def _number(digits: str | None) -> int | None:
    return int(digits) if digits and len(digits) <= LONGEST_NUMBER else None
