"""doit's main program with our errors: what a person typed wrong is told with the nearest right name, exit 2."""

import fnmatch
import functools
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from doit.cmd_base import Command, DodoTaskLoader
from doit.cmd_help import Help
from doit.cmd_run import Run
from doit.cmdparse import CmdParseError
from doit.dependency import DatabaseException
from doit.doit_cmd import DoitMain
from doit.exceptions import InvalidCommand, InvalidTask

from oolong.errors import SYSTEM_ERRORS, BadInput, Infrastructure, OolongError, as_oolong_error, did_you_mean
from oolong.host.output import ReaderGone
from tasks.cli.help import task_text
from tasks.session import current

COMMAND_LINE = "command line"


def checked(command: type[Command]) -> type[Command]:
    """A command of doit that collects our errors, and its own about the command line, instead of printing them."""

    class Checked(command):  # type: ignore[misc]
        name = command.get_name()
        __doc__ = command.__doc__

        def parse_execute(self, words: list[str]) -> int:
            collected = current().collected
            try:
                return int(super().parse_execute(words) or 0)
            except BrokenPipeError:
                raise ReaderGone from None
            except (OolongError, *SYSTEM_ERRORS) as error:
                collected.error(COMMAND_LINE, as_oolong_error(error))
            except DatabaseException as error:
                said = str(error).rpartition("Original error: ")[2]
                hint = "is there room? if so, remove build/doit.sqlite3: it only remembers what was up to date"
                collected.error(COMMAND_LINE, Infrastructure(f"what doit remembers cannot be read: {said}", hint=hint))
            except InvalidCommand as error:
                known = [task.name for task in getattr(self, "task_list", ())]
                collected.error(COMMAND_LINE, _unknown(error, known))
            except (CmdParseError, InvalidTask) as error:
                collected.error(COMMAND_LINE, BadInput(str(error), hint="./doit help"))
            return collected.exit_code()

    return Checked


class CheckedRun(checked(Run)):  # type: ignore[misc]
    """`doit run` that looks at what was selected before it starts."""

    @functools.wraps(Run._execute)
    def _execute(self, outfile: Any, **options: Any) -> int:
        check_globs(self.sel_tasks, [task.name for task in self.task_list])
        session = current()
        if any(task.name.startswith("report:") for task in self.task_list):
            session.view.open(session.project.selected, session.project.pipeline.cell_stage_names)
        return int(super()._execute(outfile, **options))


class CheckedHelp(checked(Help)):  # type: ignore[misc]
    """`doit help TASK` with our variables beside doit's options; `help COMMAND` is doit's own."""

    def _execute(self, pos_args: list[str]) -> bool:
        (name,) = pos_args
        docs = {task.name: task.doc for task in self.task_list}
        # the tasks of single cells are not made for help: their group tells as much
        group = name if name in docs else name.partition(":")[0]
        if group not in docs:
            raise InvalidCommand(not_found=name)
        sys.stdout.write(task_text(group, docs[group] or ""))
        return True


OURS: dict[type[Command], type[Command]] = {Run: CheckedRun, Help: CheckedHelp}


class Main(DoitMain):  # type: ignore[misc]
    """One invocation of doit."""

    BIN_NAME = "./doit"
    DOIT_CMDS = tuple(OURS.get(command) or checked(command) for command in DoitMain.DOIT_CMDS)

    def __init__(self) -> None:
        super().__init__(task_loader=DodoTaskLoader(), config_filenames=())

    @classmethod
    def commands(cls) -> frozenset[str]:
        """The words that doit itself takes in the place of a task."""
        return frozenset(command.get_name() for command in cls.DOIT_CMDS) | {"--help", "--version"}


def check_globs(selected: Sequence[str] | None, tasks: Iterable[str]) -> None:
    """A glob that selects no task is BadInput; doit alone would do nothing and call it success."""
    names = list(tasks)
    for word in selected or ():
        if "*" in word and not fnmatch.filter(names, word):
            raise BadInput(f"no task matches {word!r}", hint=did_you_mean(word.replace("*", ""), names))


def _unknown(error: InvalidCommand, known: Sequence[str]) -> BadInput:
    if error.not_found is None:
        return BadInput(str(error), hint="./doit list --all")
    hint = did_you_mean(error.not_found, known) or "./doit list"
    return BadInput(f"there is no task or command {error.not_found!r}", hint=hint)
