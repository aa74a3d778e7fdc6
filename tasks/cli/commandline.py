"""The words after ./doit → variables and what doit itself is to see (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oolong.errors import BadInput, did_you_mean

VARIABLES: Mapping[str, str] = {
    "kernel": "PATH: build this kernel tree instead of the pipeline's; it stays untouched",
    "config": "FILE or NAME_defconfig, then fragments, separated by commas",
    "patches": "FILE,FILE: apply these patches to a copy of the kernel",
    "set": "the set of cells: smoke, default, full, or one of pipeline.yaml",
    "cell": "CELL or a glob: only these cells",
    "function": "NAME: the function to explain",
    "id": "ID,ID: these exhibits of the museum",
    "again": "1: rebuild the selected stages even if they are cached",
    "locked": "1: stop if no mirror has a locked package any more, instead of resolving it again",
    "bundle": "FILE: take all inputs from this archive, nothing from the network",
    "jobs": "N: compile with N jobs; the default is the number of CPUs",
    "quiet": "1: show the end alone",
    "verbose": "1: show the output of every build and machine as it comes",
    "victims": "1: record the victims of checks alone, and say which are new or gone",
    "tier": "full: the long tests too",
    "format": "json or table, for stdout",
    "only": "NAME,NAME: lock only these; for test, EXPRESSION: run only the tests that match (pytest -k)",
}
BUNDLE = "bundle"
MOST_JOBS = 1024
SHORT = {"-c": "cell", "-f": "function"}
RUNS = ("run", "clean", "forget", "ignore", "reset-dep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person typed: `variables` by name, and the `words` for doit. `target` is the FILE of `bundle FILE`."""

    variables: Mapping[str, str]
    words: tuple[str, ...]
    target: str = ""


def parse(argv: Sequence[str]) -> Request:
    """Split argv; an unknown variable is BadInput with the nearest known one."""
    variables: dict[str, str] = {}
    words: list[str] = []
    target = ""
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word in SHORT:
            if not rest:
                raise BadInput(f"{word} needs a value", hint=f"{word} is short for {SHORT[word]}=")
            word = f"{SHORT[word]}={rest.pop(0)}"
        name, equals, value = word.partition("=")
        if not equals or word.startswith("-"):
            words.append(word)
            if word == BUNDLE and words == [BUNDLE]:
                target = _target(rest)
            continue
        if name not in VARIABLES:
            raise BadInput(f"no task takes the variable {name}=", hint=did_you_mean(name, VARIABLES))
        if name in variables:
            raise BadInput(f"{name}= is given twice")
        variables[name] = value
    _check_values(variables)
    if target and BUNDLE in variables:
        raise BadInput("a bundle is made from the cache and the mirrors, not from another", where="bundle=")
    return Request(variables=variables, words=tuple(words), target=target)


def _target(rest: list[str]) -> str:
    """The word after `bundle`."""
    if not rest or "=" in rest[0] or rest[0].startswith("-"):
        raise BadInput(
            "bundle needs the name of a file to write", hint="./doit bundle FILE, ./doit bundle=FILE to use it"
        )
    return rest.pop(0)


def _check_values(variables: Mapping[str, str]) -> None:
    for switch in ("again", "locked", "quiet", "verbose", "victims"):
        if (value := variables.get(switch, "0")) not in ("0", "1"):
            raise BadInput(f"{switch}={value}: it is 0 or 1")
    if variables.get("quiet") == variables.get("verbose") == "1":
        raise BadInput("quiet=1 and verbose=1: it is one of them")
    if (tier := variables.get("tier", "full")) != "full":
        raise BadInput(f"tier={tier}: the only tier besides the usual tests is full", hint="./doit test tier=full")
    if (shape := variables.get("format", "json")) not in ("json", "table"):
        raise BadInput(f"format={shape}: it is json or table")
    jobs = variables.get("jobs", "1")
    if not jobs.isdecimal() or len(jobs) > len(str(MOST_JOBS)) or not 0 < int(jobs) <= MOST_JOBS:
        raise BadInput(f"jobs={jobs}: it is a number from 1 to {MOST_JOBS}")
