"""What `./doit help` says: the tasks and variables of oolong, and where doit's own help is."""

from tasks.commandline import SHORT, VARIABLES

WORDS = ("help", "--help", "-h")

TASKS = {
    "(nothing)": "the set smoke: both endians built, counted, linked, booted and judged",
    "matrix set=NAME": "a set of pipeline.yaml: smoke, default, full",
    "cell:NAME, -c GLOB": "one cell, or those that a glob matches",
    "STAGE:CELL": "one stage with all that it needs, also as a glob: 'boot:*-gcc-14'",
    "cells [format=json]": "the cells, without running anything",
    "bundle FILE [set=NAME]": "everything that a set needs from outside, in one archive; bundle=FILE runs from it",
    "lock [only=NAME,NAME]": "resolve toolchains and kernels again and rewrite the locks",
    "test [tier=full] [only=EXPRESSION]": "the project's own tests",
    "list [--all] | info TASK | clean": "doit's own: what tasks there are, why one would run, remove results",
    "help run | help TASK": "options of doit's commands, such as -n (workers); one task",
}


def text() -> str:
    """The overview, for stdout."""
    short = {name: f", short {option}" for option, name in SHORT.items()}
    lines = ["./doit [TASK...] [NAME=VALUE...]", "", "tasks"]
    width = max(len(name) for name in TASKS)
    lines += [f"  {name:{width}}  {what}" for name, what in TASKS.items()]
    lines += ["", "variables"]
    width = max(len(name) for name in VARIABLES) + 1
    lines += [f"  {name + '=':{width}}  {what}{short.get(name, '')}" for name, what in VARIABLES.items()]
    lines += [
        "",
        "environment: OOLONG_CACHE (where downloads and finished stages lie), OOLONG_MIRROR (Debian mirrors to use)",
        "exit codes: 0 all pass, 1 a cell failed, 2 bad input, 3 infrastructure",
    ]
    return "\n".join(lines) + "\n"
