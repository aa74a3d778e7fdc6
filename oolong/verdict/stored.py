"""What the verdict reads of the data of stages, as types: a stored result that has other data is damaged (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from oolong.audit import catalogue
from oolong.audit.check import Check
from oolong.engine.stage import StageResult, StageStatus
from oolong.engine.store import RESULT
from oolong.errors import BadInput, did_you_mean

ROOT = "$"
HINT = "remove its folder: the next run makes the stage again"
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A stage of whose data the verdict reads nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Of a failed stage `stubs` the counts may be missing."""

    reserve: Count = 0
    text: Count = 0
    text_end: Count = 0
    inittext: Count = 0
    total: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stubs(Counted):
    out_of_line: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A kernel without stubs has no count words."""

    areas: Mapping[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Of a stage that failed in its work the checks may be missing."""

    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A kernel that is not audited has neither `plan`, `sites` nor `sections`."""

    checks: tuple[Check, ...]
    plan: Mapping[str, Count] = field(default_factory=dict)
    sites: Mapping[str, Count] = field(default_factory=dict)
    sections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    release: str | None
    allocated: Count | None
    total: Count | None
    tests: Count
    startup_tests: Count
    skipped: tuple[str, ...]
    stops: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """What the console led into, where the boot failed."""

    served: tuple[str, ...] = ()


# by stage: what its data hold where it succeeded, and where it failed
DATA: Mapping[str, tuple[type, type]] = {
    "stubs": (Stubs, Counted),
    "link": (Linked, Nothing),
    "crosslink": (Linked, Nothing),
    "audit-object": (Audited, Failed),
    "audit-image": (Audited, Failed),
    "tree": (Audited, Failed),
    "live": (Audited, Failed),
    "boot": (Booted, Died),
}
OTHERS = Nothing, Nothing


def check_data(results: Iterable[StageResult]) -> None:
    """BadInput, with the file and the place in it, for the first result whose data are not what its stage leaves."""
    for result in results:
        succeeded, failed = DATA.get(result.stage, OTHERS)
        read = _read(result, failed if result.status is not StageStatus.OK else succeeded)
        if isinstance(read, Audited | Failed):
            _check_names(result, read.checks)


def _read(result: StageResult, kind: type) -> Any:
    try:
        return msgspec.convert(result.data, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        raise _damaged(result, what, place.strip("`") or ROOT) from error


def _check_names(result: StageResult, checks: Sequence[Check]) -> None:
    known = catalogue.entries()
    for number, check in enumerate(checks):
        if check.name not in known:
            what = f"there is no check {check.name!r}; {did_you_mean(check.name, known)}"
            raise _damaged(result, what, f"{ROOT}.checks[{number}].name")


def _damaged(result: StageResult, what: str, place: str) -> BadInput:
    where = f"{result.folder / RESULT}:{ROOT}.data{place.removeprefix(ROOT)}"
    return BadInput(f"the result of {result.stage} is damaged: {what}", where=where, hint=HINT)
