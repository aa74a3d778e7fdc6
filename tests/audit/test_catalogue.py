"""The catalogue: every name that may appear, what each check makes of a cell, and the documents that come from it."""

import json
import re
from dataclasses import replace
from itertools import chain
from pathlib import Path

import jsonschema
import pytest

from oolong.audit import catalogue, outcomes
from oolong.audit.check import CheckStatus, judged, none_of
from oolong.audit.registry import Checks, Needs
from oolong.errors import Kind
from oolong.host.layout import Layout
from oolong.spec import pipeline_yaml
from oolong.spec.matrix import expand
from oolong.stages.chain import Pipeline
from oolong.verdict import known_issues_yaml
from oolong.verdict.judge import CHECKING
from tests import docs
from tests.support import CHECKOUT

EVERY = catalogue.entries()
NAME = re.compile(
    r"""["'`]((?:object|image|config|tree|live|guest|stubs|boot|expect|artifacts|audit)\.[a-z]+(?:-[a-z]+)*)["'`]"""
)


@pytest.mark.parametrize("name", EVERY)
def test_an_entry_says_all_that_is_to_be_known(name: str) -> None:
    entry = EVERY[name]
    assert entry.name == name
    assert re.fullmatch(r"[a-z]+(\.[a-z]+(-[a-z]+)*)", name)
    assert entry.due.never == (name in ("stubs.out-of-line", "audit.victims", "audit.complete"))
    assert all((entry.title, entry.holds, entry.failure, entry.stages))
    assert not entry.title.endswith(".")
    assert "|" not in entry.holds + entry.failure, "it would end a column of its table"
    assert (entry.kind is None) == (entry.needs is Needs.STAGE and name.startswith(outcomes.STAGE))


def test_every_name_in_code_and_documents_is_one_of_the_catalogue() -> None:
    files = chain((CHECKOUT / "oolong").rglob("*.py"), (CHECKOUT / "docs").glob("*.md"), [CHECKOUT / "README.md"])
    named = {name for file in files for name in NAME.findall(file.read_text())}
    files_and_keys = {name for name in named if name.endswith((".py", ".json")) or name == "expect.regs"}
    assert named - files_and_keys - set(EVERY) == set()
    assert len(named & set(EVERY)) > 40


def test_known_issues_speak_of_checks_that_there_are() -> None:
    entries = known_issues_yaml.load(Layout(checkout=CHECKOUT, cache=CHECKOUT))
    assert {name for entry in entries for name in entry.checks} <= set(EVERY)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("object.unique", Kind.STUB_AUDIT),
        ("image.branch-range", Kind.STUB_AUDIT),
        ("live.sites", Kind.STUB_AUDIT),
        ("boot.sites", Kind.STUB_AUDIT),
        ("stubs.link", Kind.STUB_AUDIT),
        ("guest.listed-once", Kind.GUEST_TEST),
        ("config.out-of-line-probe", Kind.CONFIG_DRIFT),
        ("tree.second-make", Kind.STUB_AUDIT),
        ("expect.ool", Kind.UNEXPECTED),
        ("artifacts.digest", Kind.DIGEST),
        ("stage.boot", None),
    ],
)
def test_a_check_has_a_kind(name: str, kind: Kind | None) -> None:
    assert catalogue.named(name).kind is kind


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("object.one-nop", {"audit-object"}),
        ("object.tree-script", {"stubs"}),
        ("config.out-of-line-probe", {"audit-object"}),
        ("tree.second-make", {"tree"}),
        ("image.stub-areas", {"audit-image"}),
        ("live.stub-words", {"live"}),
        ("guest.total", {"live"}),
        ("boot.total", {"stubs", "audit-image", "boot"}),
        ("stubs.both-links", {"stubs", "link", "crosslink"}),
        ("stage.compile", {"compile"}),
    ],
)
def test_a_check_says_which_stages_decide_it(name: str, stages: set[str]) -> None:
    assert set(catalogue.named(name).stages) == stages


def test_the_stages_of_the_catalogue_are_those_of_a_cell() -> None:
    """Each has a check that says that it did not fail; the verdict itself needs none."""
    layout = Layout(checkout=CHECKOUT, cache=CHECKOUT)
    spec = pipeline_yaml.load(layout)
    cells = [replace(cell, link_both=True) for cell in expand(spec)]
    made = {stage.name for stage in Pipeline(layout, spec, cells).stages()}
    assert made - {"verdict"} == set(outcomes.STAGES)
    assert {stage for entry in EVERY.values() for stage in entry.stages} <= made
    assert set(CHECKING) <= made


def test_a_name_that_nobody_declared_is_refused_with_the_nearest() -> None:
    with pytest.raises(LookupError, match=r"no check has the name 'image.uniqe'; did you mean 'image.unique'\?"):
        catalogue.named("image.uniqe")


def test_a_name_is_declared_once() -> None:
    one, other = EVERY["image.unique"], EVERY["object.unique"]
    assert list(catalogue.by_name(one, other)) == ["image.unique", "object.unique"]
    with pytest.raises(ValueError, match=r"there are two checks with the name 'image.unique'"):
        catalogue.by_name(one, other, one)


def test_one_decorated_function_is_a_check() -> None:
    checks = Checks[list[int]](needs=Needs.OBJECT, kind=Kind.STUB_AUDIT)
    first = checks.check("object.even", title="even", holds="all are even", failure="one is odd")
    second = checks.check("object.few", title="few", holds="few", failure="many", about_stubs=True)
    even = first(lambda found: judged(all(one % 2 == 0 for one in found), "seen"))
    second(lambda found: none_of((), held=f"{len(found)}"))
    assert even([1]).status is CheckStatus.FAIL
    assert [(one.name, one.evidence) for one in checks.run([2, 4])] == [("object.even", "seen"), ("object.few", "2")]
    off = list(checks.run([2], without_stubs=judged(False, "lost")))
    assert [(one.name, one.evidence) for one in off] == [("object.even", "seen"), ("object.few", "lost")]
    assert [one.status for one in checks.skipped("off")] == [CheckStatus.SKIP] * 2


@pytest.mark.parametrize("page", docs.FILES, ids=[page.name for page in docs.FILES])
def test_the_tables_of_documents_are_those_of_the_catalogue(page: Path) -> None:
    text = page.read_text()
    assert text == docs.rewritten(text), ".venv/bin/python -m tests.docs writes the tables anew"


def test_every_check_stands_in_a_table() -> None:
    """But those of stages, which docs/stub-pass.md tells of as one."""
    assert set(EVERY) - docs.shown() == {entry.name for entry in outcomes.STAGES.values()}


def test_the_catalogue_is_plain_data() -> None:
    told = json.loads(json.dumps([catalogue.as_json(entry) for entry in EVERY.values()]))
    assert [one["name"] for one in told] == list(EVERY)
    assert told[0]["needs"] == "object"


def test_the_schema_knows_every_kind_and_every_status() -> None:
    schema = json.loads((CHECKOUT / "docs" / "result.schema.json").read_text())
    kinds = schema["$defs"]
    assert set(kinds["Kind"]["enum"]) == set(Kind)
    assert set(kinds["CheckStatus"]["enum"]) == set(CheckStatus)
    check = kinds["Check"]
    jsonschema.Draft202012Validator.check_schema(schema)
    made = catalogue.named("image.unique").came(judged(True, "so it is")).as_json()
    assert set(made) == set(check["properties"]) == set(check["required"])
