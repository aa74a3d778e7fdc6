"""Data of stages that are not what the stage leaves: refused where they are read, with the file and the place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oolong.engine.stage import StageStatus
from oolong.errors import BadInput
from oolong.verdict.stored import check_data
from tests.results import healthy, stage

CHECK = {"name": "live.sites", "status": "pass", "evidence": ""}


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("stubs", {"out_of_line": None}, "$.data.out_of_line"),
        ("stubs", {"total": "8"}, "$.data.total"),
        ("stubs", {"text": True}, "$.data.text"),
        ("link", {"areas": []}, "$.data.areas"),
        ("crosslink", {"areas": {"text": None}}, "$.data.areas"),
        ("audit-object", {"plan": {"text": -1}}, "$.data.plan"),
        ("audit-image", {"sites": {"text": None, "inittext": 1}}, "$.data.sites"),
        ("audit-image", {"checks": {}}, "$.data.checks"),
        ("live", {"checks": [{**CHECK, "status": "good"}]}, "$.data.checks[0].status"),
        ("live", {"checks": [CHECK, {**CHECK, "name": "live.site"}]}, "$.data.checks[1].name"),
        ("live", {"sections": [1]}, "$.data.sections[0]"),
        ("boot", {"skipped": None}, "$.data.skipped"),
        ("boot", {"allocated": 8.5}, "$.data.allocated"),
        ("boot", {"stops": "off"}, "$.data.stops"),
    ],
)
def test_data_of_another_type_are_refused_with_their_place(name: str, changed: dict[str, Any], said: str) -> None:
    made = healthy()[name]
    damaged = replace(made, folder=Path("stages/x"), data={**made.data, **changed})
    with pytest.raises(BadInput) as caught:
        check_data([damaged])
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"stages/x/result.json:{said}")
    assert f"the result of {name} is damaged" in str(caught.value)


@pytest.mark.parametrize("name", ["release", "allocated", "total", "tests", "startup_tests", "skipped", "stops"])
def test_a_boot_tells_all_that_is_judged(name: str) -> None:
    made = healthy()["boot"]
    with pytest.raises(BadInput, match=f"missing required field `{name}`"):
        check_data([replace(made, data={key: value for key, value in made.data.items() if key != name})])


@pytest.mark.parametrize(("owner", "name"), [("stubs", "out_of_line"), ("live", "checks"), ("tree", "checks")])
def test_what_each_result_has_may_not_be_missing(owner: str, name: str) -> None:
    made = healthy()[owner]
    with pytest.raises(BadInput, match=f"missing required field `{name}`"):
        check_data([replace(made, data={key: value for key, value in made.data.items() if key != name})])


def test_what_stages_leave_is_as_they_leave_it() -> None:
    check_data(healthy().values())
    # a kernel without stubs, one that is not audited, and stages that failed or were blocked
    check_data([stage("stubs", out_of_line=False), stage("link"), stage("audit-image", checks=[])])
    for status in (StageStatus.FAIL, StageStatus.BLOCKED):
        check_data([stage(name, status) for name in healthy()])
