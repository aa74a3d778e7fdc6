"""What `./doit help` says: the tasks and variables of oolong, and one task with both kinds of parameter."""

from collections.abc import Iterable

from doit.cmd_run import Run
from doit.cmdparse import CmdOption

from tasks.cli.commandline import SHORT, VARIABLES

WORDS = ("help", "--help", "-h")

TASKS = {
    "(nothing)": "the set smoke: both endians built, counted, linked, booted and judged",
    "matrix set=NAME": "a set of pipeline.yaml: smoke, default, full",
    "cell:NAME, -c GLOB": "one cell; those of the set that a glob matches, or of all where none of the set does",
    "STAGE:NAME": "one stage of a build (boot, live: of a cell), with its inputs; also as a glob: 'boot:*-gcc-14'",
    "cells [format=json]": "the cells, without running anything",
    "doctor [format=json]": "programs and settings that are missing on this machine, and how to get them",
    "explain -c CELL -f FUNCTION": "a function's patch site and its stub, in the file and in memory; format=json",
    "museum [id=ID,ID]": "past faults of out-of-line ftrace brought back, and whether they are caught; format=json",
    "lock [only=NAME,NAME]": "resolve toolchains and kernels again and rewrite the locks",
    "record [set=NAME] [victims=1]": "write what a set came to into pipeline.lock, for every machine to compare with",
    "bundle FILE [set=NAME]": "all inputs of a set in one archive; bundle=FILE runs from it",
    "test [tier=full] [only=EXPRESSION]": "the project's own tests",
    "list [--all] | info TASK | clean": "doit's own: all tasks, the reasons of one to run, remove results",
    "help TASK | help run": "one task with its variables and options; a command of doit",
}
CELLS = ("kernel", "config", "patches", "set", "cell", "again", "locked", "bundle", "jobs", "quiet", "verbose")
# the variables that a task takes, where they are not those of everything that works on cells
TAKES = {
    "cells": ("set", "cell", "kernel", "config", "patches", "format"),
    "doctor": ("format",),
    "explain": ("cell", "function", "set", "kernel", "config", "patches", "format"),
    "museum": ("id", "locked", "bundle", "jobs", "quiet", "verbose", "format"),
    "lock": ("only",),
    "bundle": ("set", "cell", "kernel", "config", "patches"),
    "record": ("set", "cell", "victims"),
    "test": ("tier", "only"),
}
# doit's, less what makes no sense here: another dodo file, another reporter
LEFT_OUT = frozenset(("reporter", "outfile", "par_type", "pdb", "failure_verbosity", "auto_delayed_regex"))


def text() -> str:
    """The overview, for stdout."""
    lines = ["./doit [TASK...] [NAME=VALUE...]", "", "tasks", *_columns(TASKS.items())]
    lines += ["", "variables", *_variables(VARIABLES)]
    lines += [
        "",
        "environment: OOLONG_CACHE (the folder of downloads and stages), OOLONG_MIRROR (Debian mirrors to use,",
        "the preferred one first), OOLONG_GIT_MEMORY (MiB that git may take), NO_COLOR",
        "exit codes: 0 all pass or are known, 1 a cell failed, 2 bad input, 3 infrastructure, 130 interrupted",
    ]
    return "\n".join(lines) + "\n"


def task_text(name: str, doc: str) -> str:
    """One task: what it does, the variables that it takes, and the options of doit that go with any task."""
    takes = TAKES.get(name.partition(":")[0], CELLS)
    lines = [f"{name}: {doc}", "", "variables (NAME=VALUE)", *_variables(takes)]
    lines += ["", "options of doit", *_columns(_options(Run.cmd_options))]
    return "\n".join(lines) + "\n"


def _variables(names: Iterable[str]) -> list[str]:
    short = {name: f", short {option}" for option, name in SHORT.items()}
    return _columns((f"{name}=", f"{VARIABLES[name]}{short.get(name, '')}") for name in names)


def _options(options: Iterable[dict[str, object]]) -> Iterable[tuple[str, str]]:
    taken = {option.lstrip("-") for option in SHORT}
    for option in map(CmdOption, options):
        if option.name in LEFT_OUT:
            continue
        names = [f"-{option.short}"] if option.short and option.short not in taken else []
        names += [f"--{option.long}"] if option.long else []
        yield ", ".join(names), str(option.help).partition("\n")[0].replace("%(default)s", str(option.default))


def _columns(pairs: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(pairs)
    width = max(len(name) for name, _ in rows)
    return [f"  {name:{width}}  {what}" for name, what in rows]
