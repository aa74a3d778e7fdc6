"""Documents and tables from results."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oolong.audit.check import Check, CheckStatus
from oolong.engine.stage import Artifact, Outcome, Stage, StageResult, StageStatus
from oolong.errors import BadInput, Kind
from oolong.host.digest import digest_of, file_sha256
from oolong.host.statcache import StatCache
from oolong.kbuild.log import culprits
from oolong.report import tables
from oolong.report.model import CellReport, CellSettings
from oolong.report.results import CellResults, is_told, publish, read
from oolong.spec.model import Endian, Expect
from oolong.verdict.judge import Verdict
from tests import schema
from tests.cells import cell
from tests.support import stage_of

CELL = cell(Endian.LE)


def finished(folder: Path, name: str, files: dict[str, str], **data: Any) -> tuple[Stage, StageResult]:
    made = stage_of(name, lambda work: Outcome())
    stage = replace(made, subject=CELL.name)
    place = folder / name
    place.mkdir()
    (place / "log").write_text(f"$ {name}\n")
    artifacts = {}
    for file, text in files.items():
        (place / file).write_text(text)
        artifacts[file] = Artifact(path=file, sha256=file_sha256(place / file), size=len(text))
    result = StageResult(
        stage=name,
        digest=stage.digest,
        folder=place,
        status=StageStatus.OK,
        kind=None,
        lines=(),
        artifacts=artifacts,
        trees={},
        data=data,
        keep=True,
        blocks=True,
        seconds=2.0,
    )
    return stage, result


VERDICT = Verdict(status=CheckStatus.PASS, kind=None, summary="booted", lines=(), checks=(), notes=(), known_issues=())


@pytest.fixture
def results(tmp_path: Path) -> CellResults:
    return CellResults(
        cell=CELL,
        stages=[
            finished(tmp_path, "compile", {"vmlinux.o": "object"}),
            finished(tmp_path, "stubs", {"stubs.json": "{}"}, text=5, inittext=2),
            finished(tmp_path, "link", {"vmlinux": "kernel", "System.map": "map"}),
        ],
        verdict=VERDICT,
        unlocked=False,
        repeat="./doit again=1 cell:x",
    )


def judged(results: CellResults, **changes: Any) -> CellReport:
    """The report of a cell with another verdict."""
    return replace(results, verdict=replace(VERDICT, **changes)).report()


def test_a_document_fits_its_schema_and_names_all_that_decided(results: CellResults) -> None:
    written = results.report().as_json()
    schema.check(written)
    assert set(written["files"]) == {"vmlinux.o", "stubs.json", "vmlinux", "System.map"}
    for stage in written["stages"]:
        assert digest_of(stage["recipe"]) == stage["digest"]
    assert str(results.stages[0][1].folder) not in json.dumps(written)


def test_results_lie_where_a_person_looks(results: CellResults, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    (folder / "old").mkdir(parents=True)
    publish(results, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "System.map",
        "logs",
        "result.json",
        "stubs.json",
        "vmlinux",
        "vmlinux.o",
    ]
    assert (folder / "vmlinux").read_text() == "kernel"
    assert (folder / "logs" / "link.log").read_text() == "$ link\n"
    assert read(folder) == results.report()


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "result.json", "no JSON: "),
        ('{"cell": "a"', "result.json", "no JSON: "),
        ("[]", "result.json:$", "Expected `object`, got `array`"),
        ("{}", "result.json:$", "Object missing required field `cell`"),
    ],
)
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: str, where: str, what: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(BadInput) as refused:
        read(tmp_path)
    assert refused.value.where == f"{tmp_path}/{where}"
    assert refused.value.what.startswith(what)


def test_the_table_says_what_was_counted_and_seen(results: CellResults) -> None:
    header, row = tables.verdicts([results.report()]).splitlines()
    assert header.split()[:2] == ["cell", "verdict"]
    assert row.split() == [CELL.name, "pass", "5+2", "6", "s", "booted"]
    assert tables.failures([results.report()], "build/results") == ""


def test_each_table_says_where_temporary_locks_stand_in(results: CellResults) -> None:
    one, other = replace(results, unlocked=True).report(), results.report()
    _, row, usual = tables.verdicts([one, other]).splitlines()
    assert row.split()[1:3] == ["pass,", "unlocked"]
    assert usual.split()[1:3] == ["pass", "5+2"]
    assert tables.unlocked([one, other]).startswith("unlocked: temporary locks stand in")
    assert tables.unlocked([one, other]).endswith(f" [{CELL.name}]\n")
    assert tables.unlocked([other]) == ""


def test_a_part_of_a_cell_is_told_with_the_checks_that_do_not_hold() -> None:
    checks = tuple(
        Check(name=name, status=CheckStatus(status), evidence=f"\x1b{name}", known=known)
        for name, status, known in [("a", "known", ("x", "y")), ("b", "pass", ()), ("c", "fail", ()), ("d", "skip", ())]
    )
    verdict = replace(VERDICT, status=CheckStatus.FAIL, kind=Kind.STUB_AUDIT, checks=checks)
    part = tables.Part(cell="one", audits=("audit-object", "audit-image"), verdict=verdict)
    assert tables.parts([part]).splitlines() == [
        "one, audit-object audit-image: fail (stub-audit); 1 checks hold, 1 skipped",
        "  known a [x, y]: \ufffda",
        "  fail  c: \ufffdc",
    ]
    assert part.failed
    assert tables.parts([]) == ""


@pytest.mark.parametrize("change", ["unlink", "write"])
@pytest.mark.parametrize("name", ["vmlinux", "stubs.json", "logs/link.log", "result.json"])
def test_results_that_were_changed_or_removed_are_not_told(
    results: CellResults, tmp_path: Path, change: str, name: str
) -> None:
    folder, cache = tmp_path / "results", StatCache(tmp_path / "stat.sqlite3")
    assert not is_told(results, folder, cache)
    publish(results, folder)
    assert is_told(results, folder, cache)
    file = folder / name
    file.unlink()
    if change == "write":
        file.write_text("{}1")
    assert not is_told(results, folder, cache)
    publish(results, folder)
    assert is_told(results, folder, cache)


def test_a_cell_whose_sites_nobody_counted_has_a_row_too(results: CellResults) -> None:
    _, row = tables.verdicts([replace(results, stages=results.stages[:1]).report()]).splitlines()
    assert row.split() == [CELL.name, "pass", "-", "2", "s", "booted"]


def test_a_failure_is_told_with_its_lines_logs_and_what_to_type(results: CellResults) -> None:
    report = judged(results, status=CheckStatus.FAIL, kind=Kind.PANIC, lines=("line one", "line two"))
    told = tables.failures([report], "build/results")
    assert "panic" in told
    assert "    line one\n    line two\n" in told
    assert f"build/results/{CELL.name}/logs/" in told
    assert "repeat: ./doit again=1 cell:x" in told


def test_known_issues_that_were_found_are_told_once_for_all_their_cells(results: CellResults) -> None:
    checks = tuple(
        Check(name=name, status=CheckStatus(status), evidence="seen", known=known)
        for name, status, known in [("a", "known", ("x", "y")), ("b", "known", ("y",)), ("c", "fail", ("z",))]
    )
    one = judged(results, checks=checks)
    assert tables.known([one, replace(one, cell="other")]) == f"known: x, y [{CELL.name}, other]\n"
    assert tables.known([results.report()]) == ""


def test_notes_are_told_once_with_the_cells_that_they_are_about(results: CellResults) -> None:
    one = judged(results, status=CheckStatus.KNOWN, notes=("no longer occurs: a", "no longer occurs: b"))
    other = replace(judged(results, notes=("no longer occurs: b",)), cell="other")
    assert tables.notes([one, other]) == (
        f"note: no longer occurs: a [{CELL.name}]\nnote: no longer occurs: b [{CELL.name}, other]\n"
    )
    assert tables.failures([one, other], "build/results") == ""
    assert tables.notes([results.report()]) == ""


def test_entries_that_match_nothing_are_told_in_one_line(results: CellResults) -> None:
    reports = [judged(results, known_issues=("a",)), judged(results, known_issues=("b",))]
    assert tables.unmatched(reports, ["a", "b"]) == ""
    assert tables.unmatched(reports, ["a", "b", "c"]) == "known-issues.yaml: c matches nothing in this run\n"
    many = tables.unmatched(reports, ["d", "e", "f", "g", "h"])
    assert many == "known-issues.yaml: d, e, f and 2 more match nothing in this run\n"
    assert tables.unmatched(reports, ["d", "b", "c"]) == "known-issues.yaml: d, c match nothing in this run\n"


def test_the_table_of_cells_names_their_axes_and_what_they_expect() -> None:
    expecting = replace(CELL, expect=Expect(ool=False))
    header, row = tables.cells([CellSettings.of(expecting)]).splitlines()
    assert header.split() == ["cell", "endian", "config", "toolchain", "kernel", "machine", "stub_pass", "expect"]
    assert row.split() == [CELL.name, "le", "minimal", "gcc-14", "v7.3.4", "pseries", "oolong", "ool=off"]


def test_the_lines_of_a_build_that_matter() -> None:
    noise = [f"  CC      file{number}.o" for number in range(100)]
    assert culprits([*noise, "a.c:1:2: error: no such thing", *noise]) == ("a.c:1:2: error: no such thing",)
    assert culprits([*noise, "ld: x.o: undefined reference to `y'"]) == ("ld: x.o: undefined reference to `y'",)
    assert len(culprits(noise)) == 20
    assert culprits([]) == ()


def test_errors_say_where_and_what_to_do() -> None:
    assert str(BadInput("wrong", where="a.yaml:1:2", hint="do this")) == "a.yaml:1:2: wrong\n  do this"
    assert str(BadInput("wrong")) == "wrong"
