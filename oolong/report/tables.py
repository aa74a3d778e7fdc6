"""Cells and verdicts as text for the screen (pure)."""

from collections.abc import Mapping, Sequence
from typing import Any

from oolong.audit.check import CheckStatus
from oolong.printable import printable
from oolong.spec.model import Cell
from oolong.verdict.known_issues import FILE

UNMATCHED_SHOWN = 3


def cell_document(cell: Cell) -> dict[str, Any]:
    """A cell as JSON: what it is made of, by name."""
    return {
        "cell": cell.name,
        **cell.axes,
        "stub_pass": cell.stub_pass.value,
        "link_both": cell.link_both,
        "expect": cell.expect.as_json(),
    }


def cells(documents: Sequence[Mapping[str, Any]]) -> str:
    """The cells as a table, one a line."""
    columns = ("cell", "endian", "config", "toolchain", "kernel", "machine", "stub_pass")
    rows = [[*(str(document[column]) for column in columns), _expected(document)] for document in documents]
    return _table((*columns, "expect"), rows)


def _expected(document: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={switch}" for name, switch in document["expect"].items())


def findings(documents: Sequence[Mapping[str, Any]]) -> str:
    """The findings of the doctor as a table, one a line, with the hints below it."""
    rows = [[one["name"], one["status"], printable(one["found"])] for one in documents]
    lines = _table(("", "status", "found"), rows)
    hints = [f"{one['name']}: {one['hint']}" for one in documents if one["hint"]]
    return lines + "".join(f"\n{hint}" for hint in hints) + ("\n" if hints else "")


def verdicts(results: Sequence[Mapping[str, Any]]) -> str:
    """The verdicts of result.json documents as a table, one cell a line."""
    rows = []
    for result in results:
        verdict = result["verdict"]
        stubs: Mapping[str, Any] = next((stage["data"] for stage in result["stages"] if stage["stage"] == "stubs"), {})
        counts = f"{stubs['text']}+{stubs['inittext']}" if "text" in stubs else "-"
        # what cells share (root file systems, sources) is nobody's own work
        own = (stage for stage in result["stages"] if stage["task"].endswith(f":{result['cell']}"))
        seconds = sum(stage["seconds"] for stage in own)
        kind = f" ({verdict['kind']})" if verdict["kind"] else ""
        rows.append(
            [result["cell"], verdict["status"] + kind, counts, f"{seconds:.0f} s", printable(verdict["summary"])]
        )
    return _table(("cell", "verdict", "sites (text+init)", "work", "what was seen"), rows)


def failures(results: Sequence[Mapping[str, Any]], folder: str) -> str:
    """For every cell that failed: the lines that matter, where its logs are, how to repeat it."""
    blocks = []
    for result in results:
        verdict = result["verdict"]
        if verdict["status"] != "fail":
            continue
        lines = [f"{result['cell']}: {verdict['kind']}: {printable(verdict['summary'])}"]
        lines += [f"    {printable(line)}" for line in verdict["lines"]]
        lines += [f"  logs: {folder}/{result['cell']}/logs/", f"  repeat: {result['repeat']}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + ("\n" if blocks else "")


def known(results: Sequence[Mapping[str, Any]]) -> str:
    """The known issues that were found, a line for each group of cells with the same ones."""
    cells: dict[tuple[str, ...], list[str]] = {}
    for result in results:
        checks = result["verdict"]["checks"]
        found = dict.fromkeys(
            issue for check in checks if check["status"] == CheckStatus.KNOWN for issue in check["known"]
        )
        if found:
            cells.setdefault(tuple(found), []).append(result["cell"])
    return "".join(f"known: {', '.join(issues)} [{', '.join(where)}]\n" for issues, where in cells.items())


def notes(results: Sequence[Mapping[str, Any]]) -> str:
    """What known-issues.yaml says that is not so any more, one a line, with the cells in which it is not."""
    cells: dict[str, list[str]] = {}
    for result in results:
        for note in result["verdict"]["notes"]:
            cells.setdefault(note, []).append(result["cell"])
    return "".join(f"note: {printable(note)} [{', '.join(where)}]\n" for note, where in cells.items())


def unmatched(results: Sequence[Mapping[str, Any]], entries: Sequence[str]) -> str:
    """One line on the entries of known-issues.yaml that spoke of no check of these results, if there are any; of
    many, the first."""
    spoke = {entry for result in results for entry in result["verdict"]["known_issues"]}
    idle = [entry for entry in entries if entry not in spoke]
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
