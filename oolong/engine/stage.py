"""What a stage is: a recipe that names its output, the stages it needs, and the work that makes it.

A stage is a pure function of its recipe. The digest of the recipe names the folder of the output; recipes chain,
since the digests of the stages needed are among a recipe's inputs. What a kernel did wrong is an Outcome;
what the world did wrong is an exception.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from oolong.host.digest import digest_of
from oolong.host.jobserver import Jobserver
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.host.progress import Progress


class StageStatus(StrEnum):
    """`blocked`: a stage that was not run, since one that it needs failed."""

    OK = "ok"
    FAIL = "fail"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides a stage's output; never jobs, timeouts or host paths.

    `argv` holds the command lines as typed inside the sandbox, `env` the variables they see, `inputs` maps a role
    to the digest of what plays it, `code` is the digest of the modules, templates and guest files that the stage
    executes (empty where argv and data decide everything).
    """

    stage: str
    argv: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    code: str = ""

    @property
    def digest(self) -> str:
        return digest_of(self.as_json())

    def with_inputs(self, inputs: Mapping[str, str]) -> "Recipe":
        """The same recipe with some of its inputs named otherwise."""
        return replace(self, inputs={**self.inputs, **inputs})

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "argv": [list(words) for words in self.argv],
            "env": dict(self.env),
            "inputs": dict(self.inputs),
            "code": self.code,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a stage made; `path` is relative to the stage's folder, `size` in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the work of a stage came to.

    `artifacts` names the files that count (name -> path below the stage's folder); `data` is JSON for the stages
    after it. A failure has a `kind` (build, config-drift, stub-audit, ...) and the `lines` that show it. `keep`
    False means that the result must not be taken for true in a later run (a time-out, a death of QEMU). A failure
    that does not block leaves artifacts that the stages after it can work with.
    """

    status: StageStatus = StageStatus.OK
    kind: str | None = None
    lines: tuple[str, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    keep: bool = True
    blocks: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A finished stage as it stands on disk: its outcome, its folder, `seconds` of wall clock that it took.

    `judged` is, for a tolerant stage, the digest of the outcomes that it looked at, else empty.
    """

    stage: str
    digest: str
    folder: Path
    status: StageStatus
    kind: str | None
    lines: tuple[str, ...]
    artifacts: Mapping[str, Artifact]
    data: Mapping[str, Any]
    keep: bool
    blocks: bool
    seconds: float
    judged: str = ""

    @property
    def ok(self) -> bool:
        return self.status is StageStatus.OK

    def path(self, artifact: str) -> Path:
        """Where an artifact lies on this machine."""
        return self.folder / self.artifacts[artifact].path


class Supply(Protocol):
    """Something from outside that a stage is made from."""

    @property
    def member(self) -> str:
        """What it is called in a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the work of a stage is given: an empty `folder` to fill, the results of the stages it needs by task
    name, the `log` to write to, somebody to tell the progress, and, if somebody wants them, a `listener` for the lines
    that programs write. Programs and other long work run in `scope`, to be cancelled with the run. All makes of a run
    share the `jobserver`, for `jobs` jobs together."""

    folder: Path
    needs: Mapping[str, StageResult]
    log: Path
    progress: Progress
    listener: Callable[[str], None] | None
    layout: Layout
    scope: Scope
    jobserver: Jobserver | None
    jobs: int

    def need(self, stage: str) -> StageResult:
        """The result of the one needed stage of that name."""
        return only(self.needs, stage)


def only(needs: Mapping[str, StageResult], stage: str) -> StageResult:
    """The one result of a stage of that name among results by task name."""
    (result,) = (result for task, result in needs.items() if task.split(":")[0] == stage)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of one subject (a cell, a toolchain, a source).

    `by_content` maps a role among the recipe's inputs to the (stage, artifact) that plays it: another recipe whose
    other inputs are the same and whose artifacts turned out equal has made this output already, and the work is
    not done again. `supplies` are what it needs from outside. A `tolerant` stage runs although a stage that it needs
    failed: it is there to say so, and is made anew when one of them came out otherwise.
    """

    subject: str
    recipe: Recipe
    needs: tuple["Stage", ...] = ()
    work: Callable[[Work], Outcome]
    by_content: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    tolerant: bool = False
    supplies: tuple[Supply, ...] = ()

    @property
    def name(self) -> str:
        return self.recipe.stage

    @property
    def task(self) -> str:
        """The name of its doit task."""
        return f"{self.name}:{self.subject}"


def as_json(result: StageResult) -> dict[str, Any]:
    """A stage's result for documents: no folder, since host paths stay out of them."""
    fields = dataclasses.asdict(result)
    del fields["folder"], fields["judged"]
    return fields


def failed(kind: str, lines: tuple[str, ...], **rest: Any) -> Outcome:
    """The outcome of a stage in which the kernel, not the world, was at fault."""
    return Outcome(status=StageStatus.FAIL, kind=kind, lines=lines, **rest)
