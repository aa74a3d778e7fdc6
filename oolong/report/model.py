"""result.json as types: what a cell was made of, its verdict, and every stage with all that decided it.

Reports are built in oolong.report.results; whoever renders one takes these types and nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from msgspec import Meta

from oolong.audit.check import CheckStatus
from oolong.engine.stage import Recipe, StageStatus
from oolong.errors import Kind
from oolong.report import codec
from oolong.spec.model import Cell, Endian, StubPass
from oolong.verdict.judge import Verdict

VERSION: Final = 1
TITLE = "build/results/CELL/result.json: what became of a cell, and all that decided it"

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Lines = tuple[str, ...]


class Switch(StrEnum):
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactReport:
    """A file that a stage made."""

    path: Annotated[str, Meta(description="below the folder of the stage")]
    sha256: Sha256
    size: Annotated[int, Meta(ge=0, description="in bytes")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeReport:
    """A folder that a stage made, with all in it."""

    path: Annotated[str, Meta(description="below the folder of the stage")]
    sha256: Annotated[Sha256, Meta(description="of the tree's manifest")]
    entries: Annotated[int, Meta(ge=0, description="the number of paths in it")]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """A finished stage."""

    task: Annotated[str, Meta(description="the doit task, STAGE:SUBJECT")]
    stage: str
    digest: Annotated[Sha256, Meta(description="of the recipe")]
    status: StageStatus
    kind: Annotated[Kind | None, Meta(description="of a failure")]
    lines: Annotated[Lines, Meta(description="the lines that show a failure")]
    artifacts: Mapping[str, ArtifactReport]
    trees: Mapping[str, TreeReport]
    data: Annotated[Mapping[str, Any], Meta(description="facts of the stage: counts, seconds, release")]
    keep: Annotated[bool, Meta(description="whether a later run may reuse it")]
    blocks: Annotated[bool, Meta(description="whether a failure keeps later stages from running")]
    seconds: Annotated[float, Meta(ge=0, description="of wall clock")]
    recipe: Annotated[Recipe, Meta(description="all that decided the output: digest is its SHA-256 as canonical JSON")]

    @property
    def subject(self) -> str:
        """What the stage was made for: a cell, its build, or a toolchain or source that builds share."""
        return self.task.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSettings:
    """What a cell is made of, by name."""

    cell: Annotated[str, Meta(description="the name of the cell")]
    build: Annotated[str, Meta(description="the name of what it shares with cells of other machines alone")]
    endian: Endian
    config: str
    toolchain: str
    kernel: str
    machine: str
    stub_pass: Annotated[StubPass, Meta(description="whose count the linked kernel has")]
    link_both: Annotated[bool, Meta(description="whether the kernel was linked with the other pass too")]
    expect: Annotated[
        Mapping[Annotated[str, Meta(pattern="^(ool|regs)$")], Switch],
        Meta(description="what the cell declares of out-of-line ftrace (ool) and of its handing over registers (regs)"),
    ]

    @classmethod
    def of(cls, cell: Cell, **rest: Any) -> Self:
        """The settings of a cell; `rest` are the fields that a subclass adds."""
        return cls(
            cell=cell.name,
            build=cell.build,
            endian=cell.endian,
            config=cell.config.name,
            toolchain=cell.toolchain.name,
            kernel=cell.kernel.name,
            machine=cell.machine.name,
            stub_pass=cell.stub_pass,
            link_both=cell.link_both,
            expect={name: Switch(switch) for name, switch in cell.expect.as_json().items()},
            **rest,
        )

    @classmethod
    def from_json(cls, read: Any, *, where: str) -> Self:
        """What `as_json` gave; BadInput, with `where` and the place in it, for any other document."""
        return codec.decode(read, cls, where=where)

    def as_json(self) -> dict[str, Any]:
        document: dict[str, Any] = codec.encode(self)
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class CellReport(CellSettings):
    """What became of a cell, and all that decided it."""

    schema: Annotated[Literal[1], Meta(description="the version of this format")] = VERSION
    unlocked: Annotated[bool, Meta(description="temporary locks stood in for outdated ones: compare no digests")]
    verdict: Verdict
    stages: Annotated[tuple[StageReport, ...], Meta(description="in the order of the work")]
    files: Annotated[Mapping[str, Sha256], Meta(description="the files beside result.json")]
    repeat: Annotated[str, Meta(description="what to type to make just this cell again")]

    def stage(self, name: str) -> StageReport | None:
        """The first stage of that name; None if the cell has none."""
        return next((stage for stage in self.stages if stage.stage == name), None)

    @property
    def failed(self) -> bool:
        return self.verdict.status is CheckStatus.FAIL

    @property
    def sites(self) -> tuple[int, int] | None:
        """The patch sites in text and in init text; None where none were counted."""
        match self.stage("stubs"):
            case StageReport(data={"text": int(text), "inittext": int(inittext)}):
                return text, inittext
            case _:
                return None

    @property
    def work_seconds(self) -> float:
        """Wall clock of the cell's own stages, in seconds: root file systems and sources are shared by cells."""
        return sum(stage.seconds for stage in self.stages if stage.subject in (self.cell, self.build))

    @property
    def known_issues_found(self) -> tuple[str, ...]:
        """The known issues that cover a whole finding of this cell, each once."""
        covering = (
            issue for check in self.verdict.checks if check.status is CheckStatus.KNOWN for issue in check.known
        )
        return tuple(dict.fromkeys(covering))


def schema() -> dict[str, Any]:
    """The JSON Schema of result.json."""
    return codec.schema(CellReport, title=TITLE)


def schema_text() -> str:
    """The same, as docs/result.schema.json has it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
