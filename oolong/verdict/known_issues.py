"""The checks of a cell, held against known-issues.yaml → the findings that it covers, and notes (pure).

An entry of known-issues.yaml speaks of a check under conditions: versions of the kernel, axes of the cell, symbols of
its .config. It covers no more than it says: victims that it does not name, or that its rule does not explain, are a
finding.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import zip_longest

from oolong.audit.check import MOST_FINDINGS, Check, CheckStatus, Finding
from oolong.kbuild import config as kconfig

FILE = "known-issues.yaml"
NEW_SHOWN = 20
# what a release begins with; Python makes no number of thousands of digits, and no kernel has one of ten
NUMBERS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*(?!\.?[0-9])")
GLOB = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One end of a range of versions: `sign` is <, <=, ==, >= or >, `version` its numbers."""

    sign: str
    version: tuple[int, ...]

    def holds(self, version: tuple[int, ...]) -> bool:
        """A version with fewer numbers is as if the others were 0."""
        pairs = list(zip_longest(version, self.version, fillvalue=0))
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        if ours == theirs:
            return "=" in self.sign
        return self.sign[0] == (">" if ours > theirs else "<")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Covers a finding without victims: one about the whole kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Covers the victims whose names match one of the globs."""

    globs: tuple[str, ...]

    def match(self, finding: Finding) -> bool:
        return any(glob == finding.who or fnmatchcase(finding.who, glob) for glob in self.globs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRule:
    """Covers the findings that a rule of oolong.audit.rules explains, whatever their victims are called."""

    rule: str

    def match(self, finding: Finding) -> bool:
        return finding.rule == self.rule


Covers = Whole | Names | ByRule


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssue:
    """An entry of known-issues.yaml; `when` are (axis, glob) and `config` (symbol, value) pairs, all of which must
    hold, as must all `kernels`. `upstream` is empty where nobody was told."""

    name: str
    checks: tuple[str, ...]
    covers: Covers
    kernels: tuple[Bound, ...]
    when: tuple[tuple[str, str], ...]
    config: tuple[tuple[str, str], ...]
    reason: str
    evidence: str
    upstream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What entries ask of a cell: its axes by name, the kernel's release and the symbols of its .config; None where
    the build did not come so far, and then no condition on it holds."""

    axes: Mapping[str, str] = field(default_factory=dict)
    release: str | None = None
    config: Mapping[str, str] | None = None

    @property
    def version(self) -> tuple[int, ...] | None:
        """The numbers that the release begins with; None where it begins with none."""
        numbers = NUMBERS.match(self.release or "")
        return tuple(map(int, numbers[0].split("."))) if numbers else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The checks, those that are covered with the status `known`; `notes` on entries that cover more than was found;
    the names of the entries that spoke of a check that ran."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    entries: tuple[str, ...]


def apply(checks: Iterable[Check], entries: Sequence[KnownIssue], facts: Facts) -> Applied:
    """Hold every check that ran against the entries that speak of it. Each finding has the first entry of the file that
    covers it: entries with names and with rules complete each other."""
    holding = [entry for entry in entries if _holds(entry, facts)]
    done: list[Check] = []
    notes: list[str] = []
    spoke: set[str] = set()
    for check in checks:
        speaking = [entry for entry in holding if check.name in entry.checks]
        if check.status in (CheckStatus.PASS, CheckStatus.FAIL) and speaking:
            spoke.update(entry.name for entry in speaking)
            check, said = (_passed if check.status is CheckStatus.PASS else _failed)(check, speaking)
            notes += said
        done.append(check)
    return Applied(
        checks=tuple(done),
        notes=tuple(dict.fromkeys(notes)),
        entries=tuple(entry.name for entry in entries if entry.name in spoke),
    )


def _holds(entry: KnownIssue, facts: Facts) -> bool:
    if entry.kernels:
        version = facts.version
        if version is None or not all(bound.holds(version) for bound in entry.kernels):
            return False
    if entry.config and (facts.config is None or kconfig.drift({}, dict(entry.config), facts.config)):
        return False
    return all(fnmatchcase(facts.axes.get(axis, ""), glob) for axis, glob in entry.when)


def _passed(check: Check, speaking: Iterable[KnownIssue]) -> tuple[Check, list[str]]:
    # a rule holds for kernels of other cells, too
    return check, [
        f"no longer occurs: {entry.name} ({check.name})"
        + ("" if isinstance(entry.covers, ByRule) else f": remove it from {FILE}")
        for entry in speaking
    ]


def _failed(check: Check, speaking: Iterable[KnownIssue]) -> tuple[Check, list[str]]:
    """The check as far as it is covered, and the notes on the entries that were asked."""
    notes: list[str] = []
    short: list[str] = []
    covered: dict[int, str] = {}
    for entry in speaking:
        match entry.covers:
            case Whole() if not check.count:
                return replace(check, status=CheckStatus.KNOWN, known=(entry.name,)), notes
            case Whole():
                short.append(f"{entry.name} covers a finding without victims, this one has {check.count}")
            case _ if not check.count:
                short.append(f"{entry.name} covers victims, this finding has none")
            case Names() | ByRule() as some:
                if isinstance(some, Names):
                    notes += _gone(entry.name, some, check)
                for number, finding in enumerate(check.findings):
                    if some.match(finding):
                        covered.setdefault(number, entry.name)
    if covered and len(covered) == len(check.findings) and _all_are_kept(check):
        return replace(check, status=CheckStatus.KNOWN, known=_used(covered)), notes
    return _in_part(check, covered, short), notes


def _all_are_kept(check: Check) -> bool:
    """Whether nothing was found besides what was kept: of a victim that was, another finding may be missing."""
    return not _left_out(check) and len(check.findings) < MOST_FINDINGS


def _left_out(check: Check) -> int:
    """Of how many victims no finding was kept."""
    return check.count - len({(finding.who, finding.address) for finding in check.findings})


def _gone(entry: str, names: Names, check: Check) -> list[str]:
    """A note on the names, not the globs, that are no victims any more."""
    gone = [name for name in names.globs if not GLOB.search(name) and name not in check.victims]
    return [f"no longer occurs for {', '.join(gone)}: {entry} ({check.name})"] if gone else []


def _in_part(check: Check, covered: Mapping[int, str], short: Iterable[str]) -> Check:
    """A check that stays a failure; its evidence says first what nobody knows of."""
    parts = []
    if covered and not _all_are_kept(check):
        parts.append(f"{_left_out(check) or 'perhaps some'} more than are kept, of which nothing is known")
    if covered:
        new = tuple(dict.fromkeys(one.who for number, one in enumerate(check.findings) if number not in covered))
        more_names = f" and {len(new) - NEW_SHOWN} more" if len(new) > NEW_SHOWN else ""
        if new:
            parts.append(f"{len(new)} not covered: {', '.join(new[:NEW_SHOWN])}{more_names}")
        known = {check.findings[number].who for number in covered} - set(new)
        if known:
            parts.append(f"{len(known)} covered by {', '.join(_used(covered))}")
    return replace(check, evidence="; ".join([*parts, *short, check.evidence]), known=_used(covered))


def _used(covered: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(covered[number] for number in sorted(covered)))
