"""What several tests need: a layout in a temporary folder, stages without kernels."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oolong.engine.runner import Runner
from oolong.engine.stage import Input, Outcome, Recipe, Stage, StageResult, StageStatus, TreeArtifact, Work
from oolong.engine.store import Store
from oolong.host.layout import Layout
from oolong.host.process import Scope

CHECKOUT = Path(__file__).resolve().parent.parent
TEST_DATA = CHECKOUT / "tests" / "data"


def layout_in(folder: Path) -> Layout:
    return Layout(checkout=folder / "checkout", cache=folder / "cache")


def silent(text: str, done: int = 0, total: int | None = None) -> None:
    """A progress that nobody watches."""


def victims(check: Mapping[str, Any]) -> list[str]:
    """For whom a check of a result.json does not hold, each name once."""
    return list(dict.fromkeys(finding["who"] for finding in check["findings"]))


def write_file(name: str, text: str) -> Callable[[Work], Outcome]:
    """The work of a stage that makes one artifact."""

    def work(work: Work) -> Outcome:
        (work.folder / name).write_text(text)
        return Outcome(artifacts={name: name})

    return work


def stage_of(
    name: str,
    work: Callable[[Work], Outcome],
    *needs: Stage,
    subject: str = "cell",
    version: str = "",
    output: str = "",
) -> Stage:
    """A stage with others as inputs, in the roles of their names; `output` is what it uses of each of them."""
    return Stage(
        subject=subject,
        base=Recipe(stage=name, inputs={"version": version} if version else {}),
        inputs=tuple(Input(role=need.name, stage=need, output=output) for need in needs),
        work=work,
    )


def runner_in(layout: Layout, *, say: Callable[[str], None] = print) -> Runner:
    """A run of its own on the cache of a layout."""
    return Runner(Store(layout), own=layout.unpublished, say=say)


def folder_as(output: str, folder: Path) -> StageResult:
    """The result of a stage whose output is a folder of this machine."""
    return StageResult(
        stage=output,
        digest="",
        folder=folder,
        status=StageStatus.OK,
        kind=None,
        lines=(),
        artifacts={},
        trees={output: TreeArtifact(path=".", manifest="", sha256="", entries=0)},
        data={},
        keep=True,
        blocks=True,
        seconds=0.0,
    )


def work_of(stage: Stage, folder: Path, **inputs: StageResult) -> Work:
    """What the work of a stage is given, without a run around it; its cache lies in the folder."""
    return Work(
        stage=stage,
        folder=folder,
        inputs=inputs,
        log=folder / "log",
        progress=silent,
        listener=None,
        layout=layout_in(folder),
        jobserver=None,
        scope=Scope(),
    )


@contextmanager
def very_deep(top: Path) -> Iterator[None]:
    """Folders far deeper than a path is long and Python goes down, as a Makefile makes them with mkdir and cd; gone
    afterwards, since pytest cannot remove them."""
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("deep", dir_fd=descriptor)
        below = os.open("deep", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.fchmod(descriptor, 0o500)
    os.close(descriptor)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", str(top)], check=True)
