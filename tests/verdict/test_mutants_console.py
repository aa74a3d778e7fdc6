"""Every mutant of a console and of a boot's result is caught by a named check; what makes no difference is listed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from oolong.audit import catalogue
from oolong.audit.check import CheckStatus
from oolong.engine.stage import Outcome
from oolong.machine import console
from oolong.run.project import Request, open_project
from oolong.spec.model import Cell
from tests import results
from tests.checkout import layout_of
from tests.mutants import consoles
from tests.mutants.consoles import EQUIVALENT
from tests.mutants.outcome import Outcome as Seen
from tests.mutants.outcome import told
from tests.support import TEST_DATA

DATA = TEST_DATA / "console"
BOOT_CHECKS = {"stage.boot", "boot.sites", "boot.total", "audit.complete"}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    return open_project(Request(), layout_of(tmp_path_factory.mktemp("cache"))).selected[0]


def survivors(seen: Sequence[Seen]) -> list[tuple[str, str]]:
    """What nobody noticed, though it makes a difference."""
    return [(one.kind, one.what) for one in seen if not one.by and one.kind not in EQUIVALENT]


@pytest.mark.parametrize("name", ["le-pass", "be-pass"])
def test_every_mutant_of_a_console_is_caught(cell: Cell, name: str) -> None:
    healthy = (DATA / f"{name}.log").read_text()
    heard = console.parse(healthy)
    assert heard.allocated
    assert heard.total
    counts = {"text_sites": heard.total, "sites": heard.allocated}
    assert consoles.judged(healthy, cell, **counts) == ()
    seen = [Seen(one.kind, one.what, consoles.judged(one.text, cell, **counts)) for one in consoles.consoles(healthy)]
    print(told(seen))
    assert survivors(seen) == []
    assert {check for one in seen for check in one.by} <= BOOT_CHECKS & catalogue.entries().keys()
    made = Counter(one.kind for one in seen)
    assert sum(count for kind, count in made.items() if kind not in EQUIVALENT) >= 500
    # what is listed as no difference makes none, and is made
    assert {one.kind for one in seen if not one.by} == EQUIVALENT.keys()
    assert [one for one in seen if one.by and one.kind in EQUIVALENT] == []


def test_every_mutant_of_boot_data_is_caught() -> None:
    text_sites, sites = 9646, 10385
    data = {"release": "7.3.4", "allocated": sites, "total": text_sites, "tests": 8, "skipped": [], "startup_tests": 15}
    healthy = consoles.result("boot", Outcome(data={**data, "stops": []}))
    assert consoles.failing(healthy, text_sites=text_sites, sites=sites) == ()
    seen = [
        Seen(one.kind, one.what, consoles.failing(one.result, text_sites=text_sites, sites=sites))
        for one in consoles.boot_data(healthy)
    ]
    print(told(seen))
    assert survivors(seen) == []
    assert len(seen) >= 100


def without_what_is_due() -> Iterator[tuple[str, dict[str, Any]]]:
    """(what is changed, the boot's data) where a stop, or all tests of a kind, are not there."""
    booted = dict(results.healthy()["boot"].data)
    stops = list(booted["stops"])
    for stop in stops:
        rest = [one for one in stops if one != stop]
        for other in (rest, [*rest, stop.upper()], [*rest, rest[0]]):
            yield f"the stop {stop}", {**booted, "stops": other}
    yield "all stops", {**booted, "stops": []}
    for name in ("tests", "startup_tests"):
        for count in (0, None):
            yield name, {**booted, name: count}
    for name in ("stops", "tests", "startup_tests"):
        yield f"{name}, not there", {key: value for key, value in booted.items() if key != name}


def test_boot_data_without_what_is_due_is_caught() -> None:
    seen = []
    for what, data in without_what_is_due():
        stages = results.healthy()
        judged = results.judge({**stages, "boot": replace(stages["boot"], data=data)})
        by = tuple(check.name for check in judged.checks if check.status is CheckStatus.FAIL)
        seen.append(Seen("what is due of a boot", what, by))
    assert [one for one in seen if one.by != ("audit.complete",)] == []
    assert len(seen) >= 30
