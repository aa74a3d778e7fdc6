"""CellReport, its JSON and its schema: each accepts what the others accept."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeVar

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oolong.audit.check import Check, CheckStatus, Finding, finding
from oolong.engine.stage import Recipe, StageStatus
from oolong.errors import BadInput
from oolong.report.model import ArtifactReport, CellReport, CellSettings, StageReport, Switch, TreeReport, schema
from oolong.spec.model import Endian, StubPass
from oolong.verdict.judge import Verdict
from tests import schema as written
from tests.cells import cell
from tests.support import CHECKOUT

REWRITE = ".venv/bin/python -m oolong.report > docs/result.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(schema())
SHA256 = "0123456789abcdef" * 4

REPORT = CellReport(
    cell="le-minimal-gcc-14",
    build="le-minimal-gcc-14",
    endian=Endian.LE,
    config="minimal",
    toolchain="gcc-14",
    kernel="v7.3.4",
    machine="pseries",
    stub_pass=StubPass.OOLONG,
    link_both=True,
    expect={"ool": Switch.ON},
    unlocked=False,
    verdict=Verdict(
        status=CheckStatus.KNOWN,
        kind=None,
        summary="booted",
        lines=("a line",),
        checks=(
            Check(
                name="image.windows",
                status=CheckStatus.KNOWN,
                evidence="seen",
                findings=(finding("f", "too wide", 0xC000000000000010, stop="one"),),
                count=1,
                known=("an-issue",),
            ),
        ),
        notes=("a note",),
        known_issues=("an-issue",),
    ),
    stages=(
        StageReport(
            task="stubs:le-minimal-gcc-14",
            stage="stubs",
            digest=SHA256,
            status=StageStatus.OK,
            kind=None,
            lines=("a line",),
            artifacts={"stubs.json": ArtifactReport(path="stubs.json", sha256=SHA256, size=7)},
            trees={"objects": TreeReport(path="tree", sha256=SHA256, entries=3)},
            data={"text": 5, "inittext": 2, "any": [{"depth": None}, 1.5]},
            keep=True,
            blocks=True,
            seconds=2.5,
            recipe=Recipe(
                stage="stubs",
                argv=(("count", "-x"),),
                sandbox={"env": {"LC_ALL": "C"}},
                inputs={"object": SHA256},
            ),
        ),
    ),
    files={"stubs.json": SHA256},
    repeat="./doit again=1 cell:le-minimal-gcc-14",
)

T = TypeVar("T")


def every(kind: type[T], **known: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Values of a dataclass with all fields varied, by their types where nothing else is known of them."""
    return st.builds(kind, **{field.name: known.get(field.name, ...) for field in fields(kind)})  # type: ignore[arg-type]


DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
WORDS = st.dictionaries(st.text(), st.text(), max_size=3)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
FACTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)
STAGES = every(
    StageReport,
    digest=DIGESTS,
    artifacts=st.dictionaries(
        st.text(), every(ArtifactReport, sha256=DIGESTS, size=st.integers(0, 1 << 62)), max_size=3
    ),
    trees=st.dictionaries(st.text(), every(TreeReport, sha256=DIGESTS, entries=st.integers(0, 1 << 62)), max_size=3),
    data=st.dictionaries(st.text(), FACTS, max_size=3),
    seconds=st.floats(0, 1e9),
    recipe=every(Recipe, sandbox=st.dictionaries(st.text(), FACTS, max_size=3), inputs=WORDS),
)
FINDINGS = every(Finding, address=st.none() | st.integers(0, (1 << 64) - 1).map(hex))
CHECKS = every(Check, findings=st.lists(FINDINGS, max_size=3).map(tuple))
REPORTS = every(
    CellReport,
    schema=st.just(1),
    expect=st.dictionaries(st.sampled_from(["ool", "regs"]), st.sampled_from(Switch)),
    verdict=every(Verdict, checks=st.lists(CHECKS, max_size=3).map(tuple)),
    stages=st.lists(STAGES, max_size=3).map(tuple),
    files=st.dictionaries(st.text(), DIGESTS, max_size=3),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(report=REPORTS)
def test_any_report_comes_back_from_its_json_and_fits_the_schema(report: CellReport) -> None:
    text = json.dumps(report.as_json())
    VALIDATOR.validate(json.loads(text))
    again = CellReport.from_json(json.loads(text), where="result.json")
    assert again == report
    assert json.dumps(again.as_json()) == text


def test_the_schema_in_the_docs_is_the_one_of_the_code() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    done = subprocess.run(
        [sys.executable, "-m", "oolong.report"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert written.FILE.read_text() == done.stdout, f"docs/result.schema.json is out of date: {REWRITE}"


def accepted(document: Any) -> bool:
    try:
        CellReport.from_json(document, where="result.json")
    except BadInput:
        return False
    return True


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of everything in a document."""
    yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*place, key))


def changed(place: tuple[str | int, ...], value: Any) -> Any:
    """The document with another value at a place; KeyError stands for none."""
    document: Any = {"": copy.deepcopy(REPORT.as_json())}
    *above, last = ("", *place)
    inside = document
    for key in above:
        inside = inside[key]
    if value is KeyError:
        del inside[last]
    else:
        inside[last] = value
    return document.get("")


DOCUMENT = REPORT.as_json()
VALUES: tuple[Any, ...] = (KeyError, None, True, -1, 1.5, "text", [], {}, ["text"], {"unknown": 1})


@pytest.mark.parametrize("place", list(places(DOCUMENT)), ids=lambda place: ".".join(map(str, place)) or "all")
def test_the_schema_and_the_types_refuse_the_same(place: tuple[str | int, ...]) -> None:
    mutants = [changed(place, value) for value in VALUES]
    inside: Any = DOCUMENT
    for key in place:
        inside = inside[key]
    if isinstance(inside, dict):
        mutants.append(changed((*place, "unknown"), 1))
    assert [accepted(mutant) for mutant in mutants] == [VALIDATOR.is_valid(mutant) for mutant in mutants]


@pytest.mark.parametrize(
    ("place", "value", "where", "what"),
    [
        (("cell",), KeyError, "$", "Object missing required field `cell`"),
        (("schema",), KeyError, "$", "missing key 'schema'"),
        (("schema",), 2, "$.schema", "Invalid enum value 2"),
        (("cel",), "a", "$", "unknown key 'cel'"),
        (("endian",), "middle", "$.endian", "Invalid enum value 'middle'"),
        (("unlocked",), "no", "$.unlocked", "Expected `bool`, got `str`"),
        (("stages", 0, "status"), "fine", "$.stages[0].status", "Invalid enum value 'fine'"),
        (("stages", 0, "lines", 0), 1, "$.stages[0].lines[0]", "Expected `str`, got `int`"),
        (("stages", 0, "recipe", "jobs"), 2, "$.stages[0].recipe", "unknown key 'jobs'"),
        (("stages", 0, "recipe", "sandbox"), KeyError, "$.stages[0].recipe", "missing key 'sandbox'"),
        (("stages", 0, "seconds"), -1, "$.stages[0].seconds", "Expected `float` >= 0.0"),
        (
            ("stages", 0, "artifacts", "stubs.json", "sha256"),
            SHA256.upper(),
            "$.stages[0].artifacts[...].sha256",
            "Expected `str` matching regex '^[0-9a-f]{64}$'",
        ),
        (("files", "stubs.json"), f"{SHA256}\n", "$.files[...]", "Expected `str` of length <= 64"),
        (("expect", "ool"), "maybe", "$.expect[...]", "Invalid enum value 'maybe'"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_with_its_place(
    place: tuple[str | int, ...], value: Any, where: str, what: str
) -> None:
    document = changed(place, value)
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(BadInput) as refused:
        CellReport.from_json(document, where="result.json")
    assert (refused.value.where, refused.value.what) == (f"result.json:{where}", what)


def test_a_misspelt_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(BadInput, match="did you mean 'repeat'"):
        CellReport.from_json({**DOCUMENT, "repeats": "x"}, where="result.json")


def test_what_renderers_ask_of_a_report() -> None:
    assert REPORT.sites == (5, 2)
    assert REPORT.work_seconds == 2.5
    assert REPORT.known_issues_found == ("an-issue",)
    assert not REPORT.failed
    assert REPORT.stage("boot") is None
    stage = REPORT.stage("stubs")
    assert stage
    assert stage.subject == REPORT.cell


def test_stages_that_cells_share_are_no_work_of_a_cell() -> None:
    document = changed(("stages", 0, "task"), "stubs:another")
    assert CellReport.from_json(document, where="result.json").work_seconds == 0


@pytest.mark.parametrize("data", [{}, {"text": 5}, {"text": "5", "inittext": "2"}, {"text": None, "inittext": 2}])
def test_a_stub_pass_without_counts_has_no_sites(data: dict[str, Any]) -> None:
    document = changed(("stages", 0, "data"), data)
    assert CellReport.from_json(document, where="result.json").sites is None


@pytest.mark.parametrize("endian", list(Endian))
def test_the_settings_of_a_cell_come_back_from_their_json(endian: Endian) -> None:
    own = CellSettings.of(cell(endian))
    assert CellSettings.from_json(own.as_json(), where="cells") == own
    assert list(own.as_json()) == [
        "cell",
        "build",
        "endian",
        "config",
        "toolchain",
        "kernel",
        "machine",
        "stub_pass",
        "link_both",
        "expect",
    ]
