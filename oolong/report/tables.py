"""Cells and verdicts as text for the screen (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oolong.audit.check import Check, CheckStatus
from oolong.printable import printable
from oolong.report.model import CellReport, CellSettings
from oolong.verdict.judge import Verdict
from oolong.verdict.known_issues import FILE

UNMATCHED_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The verdict on a cell up to some of its audits."""

    cell: str
    audits: tuple[str, ...]
    verdict: Verdict

    @property
    def failed(self) -> bool:
        return self.verdict.status is CheckStatus.FAIL


def cells(settings: Sequence[CellSettings]) -> str:
    """The cells as a table, one a line."""
    columns = ("cell", "endian", "config", "toolchain", "kernel", "machine", "stub_pass")
    rows = [[*(getattr(one, column) for column in columns), _expected(one)] for one in settings]
    return _table((*columns, "expect"), rows)


def _expected(settings: CellSettings) -> str:
    return " ".join(f"{name}={switch}" for name, switch in settings.expect.items())


def findings(documents: Sequence[Mapping[str, Any]]) -> str:
    """The findings of the doctor as a table, one a line, with the hints below it."""
    rows = [[one["name"], one["status"], printable(one["found"])] for one in documents]
    lines = _table(("", "status", "found"), rows)
    hints = [f"{one['name']}: {one['hint']}" for one in documents if one["hint"]]
    return lines + "".join(f"\n{hint}" for hint in hints) + ("\n" if hints else "")


def exhibits(documents: Sequence[Mapping[str, Any]]) -> str:
    """What became of the exhibits of the museum, one a line; below it, what was said of those that were not caught."""
    rows = [
        [one["id"], one["what"], ", ".join(one["checks"]), "caught" if one["caught"] else "NOT CAUGHT"]
        for one in documents
    ]
    lines = [
        f"{one['id']}: {seen['cell']}: {seen['check']}: {printable(seen['evidence'])}"
        for one in documents
        for seen in one["seen"]
        if not seen["good"]
    ]
    return _table(("id", "what", "check", ""), rows) + "".join(f"\n{line}" for line in lines) + ("\n" if lines else "")


def verdicts(reports: Sequence[CellReport]) -> str:
    """The verdicts as a table, one cell a line."""
    rows = []
    for report in reports:
        verdict = report.verdict
        counts = "-" if report.sites is None else "{}+{}".format(*report.sites)
        kind = f" ({verdict.kind})" if verdict.kind else ""
        locks = ", unlocked" if report.unlocked else ""
        rows.append(
            [
                report.cell,
                verdict.status + kind + locks,
                counts,
                f"{report.work_seconds:.0f} s",
                printable(verdict.summary),
            ]
        )
    return _table(("cell", "verdict", "sites (text+init)", "work", "what was seen"), rows)


def unlocked(reports: Sequence[CellReport]) -> str:
    """One line where temporary locks stood in for those of the checkout; empty if they did for no cell."""
    cells = [report.cell for report in reports if report.unlocked]
    if not cells:
        return ""
    told = "temporary locks stand in for outdated ones, and no digest was compared: ./doit lock resolves all anew"
    return f"unlocked: {told} [{', '.join(cells)}]\n"


def parts(judged: Sequence[Part]) -> str:
    """What became of parts of cells: a line for each, and below it the checks that do not hold, known ones too."""
    return "".join(f"{_part(part)}\n" for part in judged)


def _part(part: Part) -> str:
    checks = part.verdict.checks
    held, skipped = (sum(one.status is status for one in checks) for status in (CheckStatus.PASS, CheckStatus.SKIP))
    kind = f" ({part.verdict.kind})" if part.verdict.kind else ""
    head = f"{part.cell}, {' '.join(part.audits)}: {part.verdict.status}{kind}; {held} checks hold, {skipped} skipped"
    return "\n".join((head, *(_wrong(one) for one in checks if one.status in (CheckStatus.FAIL, CheckStatus.KNOWN))))


def _wrong(check: Check) -> str:
    known = f" [{', '.join(check.known)}]" if check.known else ""
    return f"  {check.status:5} {check.name}{known}: {printable(check.evidence)}"


def failures(reports: Sequence[CellReport], folder: str) -> str:
    """For every cell that failed: the lines that matter, where its logs are, how to repeat it."""
    blocks = []
    for report in reports:
        if not report.failed:
            continue
        verdict = report.verdict
        lines = [f"{report.cell}: {verdict.kind}: {printable(verdict.summary)}"]
        lines += [f"    {printable(line)}" for line in verdict.lines]
        lines += [f"  logs: {folder}/{report.cell}/logs/", f"  repeat: {report.repeat}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + ("\n" if blocks else "")


def known(reports: Sequence[CellReport]) -> str:
    """The known issues that were found, a line for each group of cells with the same ones."""
    cells: dict[tuple[str, ...], list[str]] = {}
    for report in reports:
        if found := report.known_issues_found:
            cells.setdefault(found, []).append(report.cell)
    return "".join(f"known: {', '.join(issues)} [{', '.join(where)}]\n" for issues, where in cells.items())


def notes(reports: Sequence[CellReport]) -> str:
    """What known-issues.yaml covers beyond what was found, one note a line, with its cells."""
    cells: dict[str, list[str]] = {}
    for report in reports:
        for note in report.verdict.notes:
            cells.setdefault(note, []).append(report.cell)
    return "".join(f"note: {printable(note)} [{', '.join(where)}]\n" for note, where in cells.items())


def unmatched(reports: Sequence[CellReport], entries: Sequence[str]) -> str:
    """One line listing the known issues that matched no check in this run, at most UNMATCHED_SHOWN by name; empty
    if all matched."""
    matched = {entry for report in reports for entry in report.verdict.known_issues}
    idle = [entry for entry in entries if entry not in matched]
    if not idle:
        return ""
    shown = ", ".join(idle[:UNMATCHED_SHOWN])
    if len(idle) > UNMATCHED_SHOWN:
        shown += f" and {len(idle) - UNMATCHED_SHOWN} more"
    return f"{FILE}: {shown} {'match' if len(idle) > 1 else 'matches'} nothing in this run\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) for row in [columns, *rows]]
    return "\n".join(line.rstrip() for line in lines) + "\n"
