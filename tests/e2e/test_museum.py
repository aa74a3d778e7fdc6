"""Past faults in the real kernel, a folder of tests/museum/ each: the check that the folder names names it."""

import os

import pytest

from oolong.engine.runner import Runner
from oolong.host.jobserver import serving
from oolong.museum import exhibit, showing
from oolong.run.project import Request, open_project
from tests.e2e.conftest import Smoke
from tests.museum import table
from tests.museum.support import with_museum, wrong

pytestmark = [pytest.mark.e2e, pytest.mark.full]


@pytest.mark.parametrize("name", [one.id for one in table.exhibits() if one.needs_kernel])
def test_a_past_fault_is_caught_in_a_real_kernel(smoke: Smoke, name: str) -> None:
    layout = with_museum(smoke.checkout).layout
    with serving(os.cpu_count() or 1) as jobserver:
        store = open_project(Request(), layout).store
        runner = Runner(store, own=layout.unpublished, say=print, jobserver=jobserver)
        found = showing.show(exhibit.read(layout.museum / name), Request(), layout, runner)
    assert (wrong(found), found.caught) == ([], True)
