"""What a stage is: a recipe that names its output, the outputs of other stages that it needs, and its work.

A stage is a pure function of its recipe. The digest of the recipe names the folder of the output; recipes chain,
since the digests of the stages needed are among a recipe's inputs. What a kernel did wrong is an Outcome;
what the world did wrong is an exception.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from oolong.errors import Kind
from oolong.host.digest import digest_of
from oolong.host.jobserver import Jobserver
from oolong.host.layout import Layout
from oolong.host.manifest import Entry
from oolong.host.process import Scope
from oolong.host.progress import Progress

# as the output of an input: the data of the other stage's outcome
DATA = "data"
# among the inputs of each stage that is not trusted: what is made of the same by a trusted one has another name
UNTRUSTED: Mapping[str, str] = {"trusted": "false"}


class StageStatus(StrEnum):
    """How the work of a stage ended; a stage is blocked where one that it needs failed."""

    OK = "ok"
    FAIL = "fail"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides a stage's output; never jobs, time limits or host paths.

    `argv` holds the command lines as typed inside the sandbox, `sandbox` what they can see of it (View.as_json),
    `inputs` maps a role to the digest of what plays it, `code` is the digest of the modules, templates and guest files
    that the stage executes.
    """

    stage: str
    argv: tuple[tuple[str, ...], ...] = ()
    sandbox: Mapping[str, Any] = field(default_factory=dict)
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
            "sandbox": dict(self.sandbox),
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
class TreeArtifact:
    """A folder that a stage made, with all in it; `sha256` is that of its manifest, `entries` the number of paths."""

    path: str
    manifest: str
    sha256: str
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A folder among the outputs of a stage: `path` below the stage's folder; `entries` where the work knows them,
    so that they are not read again."""

    path: str
    entries: Sequence[Entry] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the work of a stage came to.

    `artifacts` (files) and `trees` name the outputs: name -> path below the stage's folder; nothing else is kept.
    `data` is JSON for the stages after it. A failure has a `kind` (build, config-drift, stub-audit, ...) and the
    `lines` that show it. `keep` False means that no later run may use the result (a time-out, a death of QEMU). A
    failure that does not block leaves outputs that the stages after it can work with.
    """

    status: StageStatus = StageStatus.OK
    kind: Kind | None = None
    lines: tuple[str, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict)
    trees: Mapping[str, Tree] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    keep: bool = True
    blocks: bool = True


def failed(kind: Kind, lines: tuple[str, ...], **rest: Any) -> Outcome:
    """The outcome of a stage in which the kernel, not the world, was at fault."""
    return Outcome(status=StageStatus.FAIL, kind=kind, lines=lines, **rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A finished stage as it stands on disk: its outcome, its folder, `seconds` of wall clock that it took."""

    stage: str
    digest: str
    folder: Path
    status: StageStatus
    kind: Kind | None
    lines: tuple[str, ...]
    artifacts: Mapping[str, Artifact]
    trees: Mapping[str, TreeArtifact]
    data: Mapping[str, Any]
    keep: bool
    blocks: bool
    seconds: float

    @property
    def ok(self) -> bool:
        return self.status == StageStatus.OK

    def path(self, output: str) -> Path:
        """Where a file or a tree lies on this machine."""
        return self.folder / (self.artifacts.get(output) or self.trees[output]).path

    def content(self, output: str) -> str:
        """A digest of an output: of a file's bytes, of a tree's manifest, or of the data."""
        if output == DATA:
            return digest_of([self.status, dict(self.data)])
        found = self.artifacts.get(output) or self.trees.get(output)
        # a kernel without stubs has no vmlinux.arch.S: that there is none decides as much
        return found.sha256 if found else ""


def as_json(result: StageResult) -> dict[str, Any]:
    """A stage's result for documents: no folder, since host paths stay out of them."""
    fields = dataclasses.asdict(result)
    del fields["folder"]
    return fields


class Supply(Protocol):
    """Something from outside that a stage is made from."""

    @property
    def member(self) -> str:
        """What it is called in a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An output of another stage that a stage is made from, in a `role`.

    `output` names the file or tree that is used, or DATA; without, the input is known by its recipe alone. Where all
    inputs have the same content as those of an earlier result, that result is linked, not made again. `digest` stands
    for the input where less than the whole output decides (the part of a source that Kconfig sees). An input that does
    not decide (`decides` False) is a tool whose version has no say in what comes out.
    """

    role: str
    stage: "Stage"
    output: str = ""
    digest: str = ""
    decides: bool = True

    @property
    def named(self) -> str:
        """What the recipe says of it: which output of which stage."""
        if self.digest or not self.output:
            return self.digest or self.stage.digest
        return f"{self.stage.digest}/{self.output}"

    @property
    def is_by_content(self) -> bool:
        """Whether another recipe can have the same content."""
        return bool(self.output) and not self.digest

    def content(self, result: StageResult) -> str:
        """What decides the output, whatever recipe it came from."""
        return self.digest or (result.content(self.output) if self.output else self.stage.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the work of a stage is given: an empty `folder` to fill, the results of its inputs by role, the `log` to
    write to, a callback for the progress, and, where wanted, a `listener` for the lines that programs write.
    `jobserver` is the one that all makes of a run share; `scope` is cancelled when the run is."""

    stage: "Stage"
    folder: Path
    inputs: Mapping[str, StageResult]
    log: Path
    progress: Progress
    listener: Callable[[str], None] | None
    layout: Layout
    jobserver: Jobserver | None
    scope: Scope

    def input(self, role: str) -> StageResult:
        """The result of the stage that plays a role."""
        return self.inputs[role]

    def path(self, role: str) -> Path:
        """Where the output that plays a role lies."""
        (output,) = (one.output for one in self.stage.inputs if one.role == role)
        return self.inputs[role].path(output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of one subject (a build, a cell, a toolchain, a source).

    `base` is its recipe less what its `inputs` decide; `recipe` has both. `supplies` are what it needs from outside.
    `vouched` False says that it brings in what no checked signature covers and no file of the checkout is; a stage is
    `trusted` if it and all that decides it are vouched for; a stage that is not says so in its recipe, so that no
    trusted one takes its result.
    """

    subject: str
    base: Recipe
    inputs: tuple[Input, ...] = ()
    work: Callable[[Work], Outcome]
    supplies: tuple[Supply, ...] = ()
    vouched: bool = True
    trusted: bool = field(init=False)
    recipe: Recipe = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        roles = {*self.base.inputs, *(one.role for one in self.inputs)}
        assert len(roles) == len(self.base.inputs) + len(self.inputs), "each role is played once"
        assert roles.isdisjoint(UNTRUSTED), "no role has the name that says whether a stage is trusted"
        trusted = self.vouched and all(one.stage.trusted for one in self.inputs if one.decides)
        recipe = self.base.with_inputs({one.role: one.named for one in self.inputs if one.decides})
        recipe = recipe if trusted else recipe.with_inputs(UNTRUSTED)
        # computed once: the digests of a chain would be computed again and again otherwise
        object.__setattr__(self, "trusted", trusted)
        object.__setattr__(self, "recipe", recipe)
        object.__setattr__(self, "digest", recipe.digest)

    @property
    def name(self) -> str:
        return self.base.stage

    @property
    def task(self) -> str:
        """The name of its doit task."""
        return f"{self.name}:{self.subject}"

    @property
    def needs(self) -> tuple["Stage", ...]:
        """The stages that it needs, each once."""
        return tuple({one.stage.task: one.stage for one in self.inputs}.values())

    def by_content(self, results: Mapping[str, StageResult]) -> Recipe:
        """The recipe with the content of the inputs, by role, in place of their recipes, whoever vouches for it."""
        return self.base.with_inputs({one.role: one.content(results[one.role]) for one in self.inputs if one.decides})
