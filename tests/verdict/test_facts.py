import os
from pathlib import Path

from oolong.engine.runner import SILENT
from oolong.engine.stage import Outcome, Work
from oolong.host.files import LARGEST_TEXT
from oolong.verdict.facts import facts_of
from tests.support import layout_in, runner_in, stage_of


def test_what_is_too_large_to_be_a_text_is_no_fact(tmp_path: Path) -> None:
    def work(work: Work) -> Outcome:
        (work.folder / "config").write_text("CONFIG_A=y\n")
        (work.folder / "release").touch()
        os.truncate(work.folder / "release", LARGEST_TEXT + 1)
        return Outcome(artifacts={"config": "config", "release": "release"})

    result = runner_in(layout_in(tmp_path)).make(stage_of("compile", work), SILENT)
    facts = facts_of({}, [result])
    assert (facts.release, facts.config) == (None, {"A": "y"})
