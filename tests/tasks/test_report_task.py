"""Results put into build/results/ while another run works on the same cache."""

import json
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from oolong.engine.stage import Outcome, Stage, StageResult
from oolong.engine.store import Store
from oolong.host.digest import file_sha256
from oolong.host.layout import Layout
from oolong.spec.model import Endian
from tasks import session as sessions
from tasks.cli.commandline import Request
from tasks.cli.exit_code import Collected
from tasks.cli.view import View
from tasks.report import write_results
from tasks.session import Session
from tests.kbuild.test_make import cell
from tests.support import layout_in, silent, stage_of, write_file

CELL = cell(Endian.LE)


@dataclass
class Chain:
    """The stages of the only cell."""

    stages: tuple[Stage, ...]

    def of_cell(self, name: str) -> tuple[Stage, ...]:
        assert name == CELL.name
        return self.stages


class Disturbed(Store):
    """A store in whose run somebody else makes a stage anew, once the results were read and before they are checked."""

    def __init__(self, layout: Layout, stage: Stage, pool: ThreadPoolExecutor) -> None:
        super().__init__(layout, say=print)
        self._stage, self._pool = stage, pool
        self.anew: Future[StageResult] | None = None

    def check_artifacts(self, results: Iterable[StageResult]) -> None:
        results = list(results)
        waits_or_done = threading.Event()
        other = Store(self.layout, say=lambda line: waits_or_done.set())
        self.anew = self._pool.submit(other.make, self._stage, silent, again=True)
        self.anew.add_done_callback(lambda made: waits_or_done.set())
        assert waits_or_done.wait(60)
        super().check_artifacts(results)


def test_results_made_anew_while_they_are_reported_are_neither_mixed_nor_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []
    judged: dict[str, Any] = {"status": "pass", "kind": None, "summary": ""}
    judged |= {"lines": words, "checks": words, "notes": words, "known_issues": words}
    compiled = replace(stage_of("compile", write_file("vmlinux.o", "old")), subject=CELL.name)
    verdict = replace(stage_of("verdict", lambda work: Outcome(data=judged), compiled), subject=CELL.name)
    layout = layout_in(tmp_path)
    for stage in (compiled, verdict):
        Store(layout, say=print).make(stage, silent)
    session = Session(
        request=Request(variables={}, words=()), layout=layout, view=View(StringIO(), quiet=True), collected=Collected()
    )
    monkeypatch.setattr(sessions, "_current", session)
    with ThreadPoolExecutor(1) as pool:
        store = Disturbed(layout, replace(compiled, work=write_file("vmlinux.o", "new")), pool)
        session.__dict__.update(pipeline=Chain((compiled, verdict)), store=store)
        write_results(CELL)
        assert store.anew
        assert store.anew.result().path("vmlinux.o").read_text() == "new"
    folder = layout.cell_results(CELL.name)
    assert (folder / "vmlinux.o").read_text() == "old"
    assert json.loads((folder / "result.json").read_bytes())["files"]["vmlinux.o"] == file_sha256(folder / "vmlinux.o")
    assert store.result(compiled).path("vmlinux.o").read_text() == "new"
    assert session.collected.reported == [CELL.name]
