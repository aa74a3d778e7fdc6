"""What a build leaves and says of its rules (pure): saved commands, where recipes stand, what targets need."""

import re
import shlex
from itertools import takewhile

SAVED = re.compile(r"^savedcmd_(?P<target>\S+) := (?P<command>.*)$", re.MULTILINE)
# of make --trace, in make 4.4 and before
TRACED = re.compile(r"^(?P<makefile>[^\s:]+):\d+: (?:update )?target '(?P<target>[^']+)'")
# has the compiler write a file of dependencies
DEPENDENCIES = "-Wp,-MMD"
RULE = re.compile(r"^(?P<target>[^\s#:=][^:=\n]*?):(?P<prerequisites>(?: [^=\n]*)?)$", re.MULTILINE)


def saved_command(text: str, target: str) -> str:
    """The command of a target as a .cmd file has it, as the shell is given it; empty if there is none.

    Source: scripts/Kbuild.include, make-cmd.
    """
    for match in SAVED.finditer(text):
        if match["target"] == target:
            return match["command"].replace("$$", "$").replace("$(pound)", "#").strip()
    return ""


def command_file(target: str) -> str:
    """Where the command of a target is saved."""
    folder, _, name = target.rpartition("/")
    return f"{folder}/.{name}.cmd"


def traced(line: str, srctree: str) -> tuple[str, str] | None:
    """(target, makefile below the source) of a line in which make says that it updates a target; None for others."""
    match = TRACED.match(line)
    return (match["target"], match["makefile"].removeprefix(f"{srctree}/")) if match else None


def needed(database: str, folder: str) -> tuple[str, ...]:
    """The files below a folder that any rule of make's database (`make -p`) has as a prerequisite."""
    every = (match["prerequisites"].split() for match in RULE.finditer(database))
    return tuple(sorted({name for names in every for name in names if name.startswith(folder)}))


def preprocessing(command: str, source: str, target: str) -> tuple[str, ...]:
    """The saved command of an object, which ends with its source, as one that preprocesses another to a target."""
    words = takewhile(lambda word: word != ";", shlex.split(command))
    *options, _ = (word for word in words if not word.startswith(DEPENDENCIES))
    object_file = options[options.index("-o") + 1]
    changed = {"-c": "-E", object_file: target}
    return (*(changed.get(word, word) for word in options), source)
