"""What a person sees while the stages run: a live table on a terminal, plain lines elsewhere; all on stderr."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from oolong.audit.check import CheckStatus
from oolong.engine.stage import Stage, StageResult, StageStatus
from oolong.host.progress import Progress
from oolong.printable import printable_lines
from oolong.spec.model import Cell
from oolong.verdict.judge import Verdict

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

PLAIN_EVERY_SECONDS = 20.0
STAGE_MARKS = {
    StageStatus.OK: "[green]✓[/]",
    StageStatus.FAIL: "[red]✗[/]",
    StageStatus.BLOCKED: "[dim]–[/]",
}
VERDICT_MARKS = {CheckStatus.PASS: "[green]✓[/]", CheckStatus.FAIL: "[red]✗[/]", CheckStatus.KNOWN: "[magenta]✓[/]"}
VERDICT = "verdict"


class View:
    """Told by the tasks what starts and what ends, from any thread. With `quiet` nothing of it is shown, with `verbose`
    also every line that the work's programs write."""

    def __init__(self, stream: TextIO, *, quiet: bool = False, verbose: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._verbose = verbose
        self._guard = threading.Lock()
        self._begun = time.monotonic()
        self._board: _Board | None = None
        self._live: Live | None = None
        self._spoke: dict[str, float] = {}

    def open(self, cells: Sequence[Cell], columns: Sequence[str]) -> None:
        """Start the live table where there is a terminal to show it on."""
        if self._quiet or self._verbose or not self._stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
            return
        from rich.console import Console
        from rich.live import Live

        self._board = _Board(cells, columns)
        self._live = Live(get_renderable=self._board.render, console=Console(file=self._stream), refresh_per_second=4)
        self._live.start()

    def close(self) -> None:
        """Leave the last state of the table on the screen."""
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """One line for the person, above the table; what is in it may come from anywhere."""
        if self._quiet:
            return
        line = printable_lines(line)
        with self._guard:
            if self._live:
                self._live.console.print(line, markup=False, highlight=False)
            else:
                elapsed = time.monotonic() - self._begun
                print(f"[{elapsed:7.1f} s] {line}", file=self._stream, flush=True)

    def started(self, stage: Stage) -> None:
        self._spoke[stage.task] = time.monotonic()
        if self._board:
            self._board.start(stage.name, stage.subject)

    def progress(self, stage: Stage) -> Progress:
        """The callback that a stage's work reports to."""
        tell = self.telling(stage.task)

        def report(text: str, done: int = 0, total: int | None = None) -> None:
            if self._board:
                self._board.advance(stage.name, stage.subject, _share(done, total))
            else:
                tell(text, done, total)

        return report

    def listener(self, stage: Stage) -> Callable[[str], None] | None:
        """What takes the lines of a stage's programs, if somebody wants them."""
        return (lambda line: self.say(f"{stage.task} | {line}")) if self._verbose else None

    def telling(self, task: str) -> Progress:
        """The callback of what has no place in the table: a line now and then."""

        def report(text: str, done: int = 0, total: int | None = None) -> None:
            if (
                not self._verbose
                and time.monotonic() - self._spoke.setdefault(task, time.monotonic()) > PLAIN_EVERY_SECONDS
            ):
                self._spoke[task] = time.monotonic()
                self.say(f"{task}: {_share(done, total)} {text}".rstrip())

        return report

    def finished(self, stage: Stage, result: StageResult) -> None:
        if self._board:
            self._board.finish(stage.name, stage.subject, f"{STAGE_MARKS[result.status]} {result.seconds:.0f} s")
        else:
            why = f": {result.lines[0]}" if result.lines and not result.ok else ""
            self.say(f"{stage.task}: {result.status}, {result.seconds:.1f} s{why}")

    def stopped(self, stage: Stage) -> None:
        """The stage met trouble that is not the kernel's."""
        if self._board:
            self._board.finish(stage.name, stage.subject, "[red]![/]")
        else:
            self.say(f"{stage.task}: stopped")

    def unchanged(self, stage: Stage, result: StageResult) -> None:
        """Nothing was to do."""
        if self._board:
            self._board.finish(stage.name, stage.subject, f"{STAGE_MARKS[result.status]} [dim]=[/]")

    def judged(self, cell: Cell, verdict: Verdict, *, anew: bool) -> None:
        """`anew`: not what was reported before, of which no line is said."""
        if self._board:
            self._board.finish(VERDICT, cell.name, f"{VERDICT_MARKS[verdict.status]} {verdict.status}")
        elif anew:
            self.say(f"{cell.name}: {verdict.status}")


def _share(done: int, total: int | None) -> str:
    return f"{min(99, 100 * done // total)}%" if total else str(done) if done else ""


class _Board:
    """The state of the live table: a row per cell, a column per stage; toolchains and sources are below it."""

    def __init__(self, cells: Sequence[Cell], columns: Sequence[str]) -> None:
        self._rows = {cell.name: cell.build for cell in cells}
        self._subjects = {*self._rows, *self._rows.values()}
        self._columns = (*columns, VERDICT)
        self._cells: dict[tuple[str, str], str] = {}
        self._since: dict[tuple[str, str], float] = {}

    def start(self, stage: str, subject: str) -> None:
        self._since[stage, subject] = time.monotonic()

    def advance(self, stage: str, subject: str, share: str) -> None:
        self._cells[stage, subject] = share

    def finish(self, stage: str, subject: str, text: str) -> None:
        self._since.pop((stage, subject), None)
        self._cells[stage, subject] = text

    def render(self) -> "Table":
        from rich.table import Table

        shared = [
            f"{stage} {subject}: {self._text(stage, subject)}"
            for stage, subject in dict.fromkeys([*self._cells, *self._since])
            if subject not in self._subjects
        ]
        table = Table("cell", *self._columns, caption="  ".join(shared) or None, caption_justify="left")
        for cell, build in self._rows.items():
            table.add_row(cell, *(self._text(column, cell) or self._text(column, build) for column in self._columns))
        return table

    def _text(self, stage: str, subject: str) -> str:
        text = self._cells.get((stage, subject), "")
        if (since := self._since.get((stage, subject))) is not None:
            return f"[yellow]▸[/] {text} {time.monotonic() - since:.0f} s"
        return text
