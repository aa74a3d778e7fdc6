"""Documents and tables from results."""

import json
from pathlib import Path
from typing import Any

import pytest

from oolong.engine.stage import Artifact, Outcome, Stage, StageResult, StageStatus
from oolong.errors import BadInput
from oolong.host.digest import digest_of, file_sha256
from oolong.kbuild.log import culprits
from oolong.report import tables
from oolong.report.results import Account, document, publish
from oolong.spec.model import Endian
from tests import schema
from tests.kbuild.test_make import cell
from tests.support import stage_of

CELL = cell(Endian.LE)


def finished(folder: Path, name: str, files: dict[str, str], **data: Any) -> tuple[Stage, StageResult]:
    made = stage_of(name, lambda work: Outcome())
    stage = Stage(subject=CELL.name, recipe=made.recipe, work=made.work)
    place = folder / name
    place.mkdir()
    (place / "log").write_text(f"$ {name}\n")
    artifacts = {}
    for file, text in files.items():
        (place / file).write_text(text)
        artifacts[file] = Artifact(path=file, sha256=file_sha256(place / file), size=len(text))
    result = StageResult(
        stage=name,
        digest=stage.recipe.digest,
        folder=place,
        status=StageStatus.OK,
        kind=None,
        lines=(),
        artifacts=artifacts,
        data=data,
        keep=True,
        blocks=True,
        seconds=2.0,
    )
    return stage, result


@pytest.fixture
def account(tmp_path: Path) -> Account:
    verdict: dict[str, Any] = {
        "status": "pass",
        "kind": None,
        "summary": "booted",
        "lines": [],
        "checks": [],
        "notes": [],
        "known_issues": [],
    }
    return Account(
        cell=CELL,
        stages=[
            finished(tmp_path, "compile", {"vmlinux.o": "object"}),
            finished(tmp_path, "stubs", {"stubs.json": "{}"}, text=5, inittext=2),
            finished(tmp_path, "link", {"vmlinux": "kernel", "System.map": "map"}),
            finished(tmp_path, "verdict", {}, **verdict),
        ],
        unlocked=False,
        repeat="./doit again=1 cell:x",
    )


def test_a_document_fits_its_schema_and_names_all_that_decided(account: Account) -> None:
    written = json.loads(json.dumps(document(account)))
    schema.check(written)
    assert set(written["files"]) == {"vmlinux.o", "stubs.json", "vmlinux", "System.map"}
    for stage in written["stages"]:
        assert digest_of(stage["recipe"]) == stage["digest"]
    assert "nowhere" not in json.dumps(written)


def test_results_lie_where_a_person_looks(account: Account, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    (folder / "old").mkdir(parents=True)
    publish(account, folder)
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


def test_the_table_says_what_was_counted_and_seen(account: Account) -> None:
    header, row = tables.verdicts([document(account)]).splitlines()
    assert header.split()[:2] == ["cell", "verdict"]
    assert row.split() == [CELL.name, "pass", "5+2", "8", "s", "booted"]
    assert tables.failures([document(account)], "build/results") == ""


def test_a_failure_is_told_with_its_lines_logs_and_what_to_type(account: Account) -> None:
    written = document(account)
    written["verdict"] |= {"status": "fail", "kind": "panic", "lines": ["line one", "line two"]}
    told = tables.failures([written], "build/results")
    assert "panic" in told
    assert "    line one\n    line two\n" in told
    assert f"build/results/{CELL.name}/logs/" in told
    assert "repeat: ./doit again=1 cell:x" in told


def test_notes_are_told_once_with_the_cells_that_they_are_about(account: Account) -> None:
    one, other = document(account), document(account)
    one["verdict"] |= {"status": "known", "notes": ["no longer occurs: a", "no longer occurs: b"]}
    other |= {"cell": "other", "verdict": {**other["verdict"], "notes": ["no longer occurs: b"]}}
    assert tables.notes([one, other]) == (
        f"note: no longer occurs: a [{CELL.name}]\nnote: no longer occurs: b [{CELL.name}, other]\n"
    )
    assert tables.failures([one, other], "build/results") == ""
    assert tables.notes([document(account)]) == ""


def test_entries_that_match_nothing_are_told_in_one_line(account: Account) -> None:
    one, other = document(account), document(account)
    one["verdict"] |= {"known_issues": ["a"]}
    other["verdict"] |= {"known_issues": ["b"]}
    results = [one, other]
    assert tables.unmatched(results, ["a", "b"]) == ""
    assert tables.unmatched(results, ["a", "b", "c"]) == "known-issues.yaml: c matches nothing in this run\n"
    many = tables.unmatched(results, ["d", "e", "f", "g", "h"])
    assert many == "known-issues.yaml: d, e, f and 2 more match nothing in this run\n"
    assert tables.unmatched(results, ["d", "b", "c"]) == "known-issues.yaml: d, c match nothing in this run\n"


def test_the_lines_of_a_build_that_matter() -> None:
    noise = [f"  CC      file{number}.o" for number in range(100)]
    assert culprits([*noise, "a.c:1:2: error: no such thing", *noise]) == ("a.c:1:2: error: no such thing",)
    assert culprits([*noise, "ld: x.o: undefined reference to `y'"]) == ("ld: x.o: undefined reference to `y'",)
    assert len(culprits(noise)) == 20
    assert culprits([]) == ()


def test_errors_say_where_and_what_to_do() -> None:
    assert str(BadInput("wrong", where="a.yaml:1:2", hint="do this")) == "a.yaml:1:2: wrong\n  do this"
    assert str(BadInput("wrong")) == "wrong"
