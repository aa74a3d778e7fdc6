"""What a build leaves and says of its rules (pure): saved commands, where recipes stand, what targets need."""

import re
import shlex
from itertools import takewhile

# since Linux 6.2, and before
SAVED = re.compile(r"^(?:saved)?cmd_(?P<target>\S+) := (?P<command>.*)$", re.MULTILINE)
# what make reads as $ and #
ESCAPED = {"$$": "$", "$(pound)": "#"}
ESCAPE = re.compile("|".join(map(re.escape, ESCAPED)))
# of make --trace, in make 4.4 and before
TRACED = re.compile(r"^(?P<makefile>[^\s:]+):\d+: (?:update )?target '(?P<target>[^']+)'")
# have the compiler write a file of dependencies
DEPENDENCIES = "-Wp,-MMD,", "-Wp,-MD,"
RULE = re.compile(r"^(?P<target>[^\s#:=][^:=\n]*?):(?P<prerequisites>(?: [^=\n]*)?)$", re.MULTILINE)


def saved_command(text: str, target: str) -> str:
    """The command of a target as a .cmd file has it, as the shell is given it; empty if there is none.

    Source: scripts/Kbuild.include, make-cmd.
    """
    for match in SAVED.finditer(text):
        if match["target"] == target:
            return ESCAPE.sub(lambda escape: ESCAPED[escape[0]], match["command"]).strip()
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
    """The saved command of an object as one that preprocesses another source to a target; ValueError for no such
    command."""
    return (*_compiler(command), "-E", "-o", target, source)


def assembling(command: str, source: str, target: str) -> tuple[str, ...]:
    """The saved command of an object in assembly as one that assembles another source, without ccache; ValueError for
    no such command.

    The generic rule gives every .S of a directory without flags of its own the same words, but for those that say where
    the object lies and what it depends on. Source: scripts/Makefile.build (rule_as_o_S) of Linux 7.3.
    """
    words = _compiler(command)
    return (*(words[1:] if words[0] == "ccache" else words), "-c", "-o", target, source)


def _compiler(command: str) -> list[str]:
    """The compiler and its flags in the saved command of an object in assembly, without those of dependencies."""
    words = takewhile(lambda word: word != ";", shlex.split(command))
    match [word for word in words if not word.startswith(DEPENDENCIES)]:
        case [*flags, "-c", "-o", _, source] if flags and source.endswith(".S"):
            return flags
    raise ValueError("no command of an object in assembly")
