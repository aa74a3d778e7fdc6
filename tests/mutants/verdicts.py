"""Mutants of what a verdict is made from: the results of a cell's stages, each with one thing gone or otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import Kind
from oolong.verdict.due import SKIPPABLE

Stages = Mapping[str, StageResult]
LISTS = {"boot": "stops", "live": "sections"}
TESTS = "boot.tests", "boot.startup_tests"
# what is changed → why it makes no difference to a verdict
EQUIVALENT: Mapping[str, str] = {
    "a check twice": "both are told, and both hold",
    "a stop or a section more": "nothing is due of it",
    "more tests": "the guest's plan is looked at by the stage boot (tests/mutants/consoles.py)",
}


class Mutant(NamedTuple):
    """What was changed, and the results then."""

    kind: str
    what: str
    stages: Stages


def mutants(healthy: Stages) -> Iterator[Mutant]:
    """All of them."""
    for name, result in healthy.items():
        yield Mutant("a stage missing", name, {one: own for one, own in healthy.items() if one != name})
        yield Mutant("a stage blocked by nothing", name, _with(healthy, name, status=StageStatus.BLOCKED))
        for kind in (Kind.BUILD, Kind.STUB_AUDIT, Kind.PANIC):
            for lines in ((), ("what it said",)):
                failed = _with(healthy, name, status=StageStatus.FAIL, kind=kind, lines=lines)
                yield Mutant("a stage failed", f"{name}: {kind.value}, {len(lines)} lines", failed)
        yield from _checks(healthy, name, result)
        yield from _lists(healthy, name, result)
        yield from _counts(healthy, name, result)
    for test in SKIPPABLE:
        yield Mutant("a test skipped", test, _data(healthy, "boot", skipped=[f"{test}: not in this kernel"]))


def _with(healthy: Stages, name: str, **changes: Any) -> Stages:
    return {**healthy, name: replace(healthy[name], **changes)}


def _data(healthy: Stages, name: str, **changes: Any) -> Stages:
    return _with(healthy, name, data={**healthy[name].data, **changes})


def _checks(healthy: Stages, name: str, result: StageResult) -> Iterator[Mutant]:
    checks = result.data.get("checks")
    if checks is None:
        return
    for place, check in enumerate(checks):
        who, rest = check["name"], [*checks[:place], *checks[place + 1 :]]
        yield Mutant("a check missing", who, _data(healthy, name, checks=rest))
        yield Mutant("a check skipped", who, _data(healthy, name, checks=[*rest, {**check, "status": "skip"}]))
        yield Mutant("a check failed", who, _data(healthy, name, checks=[*rest, {**check, "status": "fail"}]))
        yield Mutant("a check twice", who, _data(healthy, name, checks=[*checks, check]))
        both = [*checks, {**check, "status": "fail"}]
        yield Mutant("a check that holds and fails", who, _data(healthy, name, checks=both))
        both = [{**check, "status": "fail"}, *checks]
        yield Mutant("a check that fails and holds", who, _data(healthy, name, checks=both))
    yield Mutant("all checks missing", name, _data(healthy, name, checks=[]))
    others = {key: value for key, value in result.data.items() if key != "checks"}
    yield Mutant("all checks missing", f"{name}, not there", _with(healthy, name, data=others))


def _lists(healthy: Stages, name: str, result: StageResult) -> Iterator[Mutant]:
    if name not in LISTS:
        return
    key = LISTS[name]
    told = list(result.data[key])
    for place, one in enumerate(told):
        rest = [*told[:place], *told[place + 1 :]]
        yield Mutant("a stop or a section missing", one, _data(healthy, name, **{key: rest}))
        yield Mutant("a stop or a section of another name", one, _data(healthy, name, **{key: [*rest, f"{one}2"]}))
        yield Mutant("a stop or a section more", one, _data(healthy, name, **{key: [*told, f"{one}2"]}))
    yield Mutant("no stop or section", name, _data(healthy, name, **{key: []}))
    others = {one: value for one, value in result.data.items() if one != key}
    yield Mutant("no stop or section", f"{name}, not there", _with(healthy, name, data=others))


def _counts(healthy: Stages, name: str, result: StageResult) -> Iterator[Mutant]:
    """Each number, and each number in a mapping: another one, or gone."""
    for key, value in result.data.items():
        rest = {one: own for one, own in result.data.items() if one != key}
        gone = _with(healthy, name, data=rest)
        if isinstance(value, bool):
            yield Mutant("out-of-line ftrace", f"{name}.{key}", _data(healthy, name, **{key: not value}))
            yield Mutant("whether stubs are out of line, gone", f"{name}.{key}", gone)
        elif isinstance(value, int):
            for kind, number in _numbers(f"{name}.{key}", value):
                yield Mutant(kind, f"{name}.{key}: {number}", _data(healthy, name, **{key: number}))
            yield Mutant("a count gone", f"{name}.{key}", gone)
        elif isinstance(value, Mapping):
            for inner, own in value.items():
                what = f"{name}.{key}.{inner}"
                for kind, number in _numbers(what, own):
                    yield Mutant(kind, f"{what}: {number}", _data(healthy, name, **{key: {**value, inner: number}}))
                less = {one: count for one, count in value.items() if one != inner}
                yield Mutant("a count gone", what, _data(healthy, name, **{key: less}))
            yield Mutant("a count gone", f"{name}.{key}", gone)


def _numbers(key: str, value: int) -> Iterator[tuple[str, int]]:
    if key in TESTS:
        yield "no tests", 0
        yield "more tests", value + 1
        return
    for other in (value + 1, value - 1, 0, -value, value << 1, value + (1 << 32)):
        yield "a count", other
