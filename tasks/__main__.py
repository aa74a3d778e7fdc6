"""`python -m tasks`, which ./doit starts: a thin DoitMain that owns the exit code.

doit's own codes say how the running of tasks went; ours say how the kernels did: 0 all pass or are known, 1 a cell
failed, 2 bad input, 3 infrastructure.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from oolong.errors import SYSTEM_ERRORS, OolongError, as_oolong_error
from oolong.host.filelock import held
from oolong.host.jobserver import serving
from oolong.host.output import READER_GONE, ReaderGone, discard
from oolong.host.process import Scope
from oolong.supply.relock import relock_temporarily
from tasks.cli import help, summary
from tasks.cli.commandline import RUNS, parse
from tasks.cli.doit_main import Main
from tasks.cli.exit_code import INFRASTRUCTURE, INTERRUPTED
from tasks.locks import try_locks_again
from tasks.parts import judge_parts
from tasks.session import Session, open_session

STDOUT, STDERR = 1, 2
# tells the process that goes on with temporary locks what was resolved anew: that was there a moment ago
RESOLVED = "OOLONG_RESOLVED_ANEW"
# tells the process that makes anew what was damaged
MENDED = "OOLONG_MENDED"


def main(argv: Sequence[str], *, scope: Scope) -> int:
    """Do what was typed, all of it in `scope`; returns the exit code."""
    try:
        code = _do(argv, scope)
        sys.stdout.flush()
        return code
    except (BrokenPipeError, ReaderGone):
        # whoever read our output has seen enough; what is still buffered must not raise again
        discard()
        return READER_GONE
    except (OolongError, *SYSTEM_ERRORS) as caught:
        error = as_oolong_error(caught)
        print(f"oolong: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _do(argv: Sequence[str], scope: Scope) -> int:
    request = parse(argv)
    if len(request.words) == 1 and request.words[0] in help.WORDS:
        sys.stdout.write(help.text())
        return 0
    session = open_session(request, scope=scope)
    command = request.words[0] if request.words else "run"
    if command in Main.commands() and command not in RUNS:
        # doit's own answers: 1 of `info` says that a task would run
        doit_code = Main().run(list(request.words))
        summary.show(session)
        return session.collected.exit_code() or doit_code
    return _run_alone(session)


def _run_alone(session: Session) -> int:
    """Tasks run with the checkout to ourselves and one jobserver for all the makes."""
    build = session.layout.build
    build.mkdir(parents=True, exist_ok=True)

    def waiting(holder: str) -> None:
        session.view.say(f"{build.name}/ is in use: waiting for {holder}")

    with held(build / ".lock", waiting=waiting), serving(session.jobs) as jobserver:
        session.jobserver = jobserver
        try:
            session.project.store.sweep()
            try_locks_again(session)
            session.running = True
            doit_code = Main().run(list(session.request.words))
            judge_parts(session)
        finally:
            session.view.close()
        starts_again = _resolve_anew(session) or _mend(session)
    if starts_again:
        sys.stderr.flush()
        # a new process: what this one knows of locks, recipes and tasks is of no use any more
        os.execv(sys.executable, [sys.executable, "-m", "tasks", *sys.argv[1:]])  # noqa: S606
    summary.show(session)
    # where nothing of ours explains why doit is unhappy, it was doit or a defect
    return session.collected.exit_code() or (INFRASTRUCTURE if doit_code else 0)


def _resolve_anew(session: Session) -> bool:
    """Make temporary locks where the locks name what no mirror has, unless the person asked to stop there; says whether
    the run is to start again with them."""
    absent = session.collected.absent
    if not absent or session.variables.get("locked") == "1":
        return False
    for error in session.collected.errors.values():
        session.view.say(error.what)
    session.view.say("THE LOCKS ARE OUTDATED: resolving anew, for this checkout only; every result says `unlocked`")
    say = session.view.say
    resolved = relock_temporarily(session.layout, session.project.spec, absent, say=say, scope=session.scope)
    before = frozenset(os.environ.get(RESOLVED, "").split())
    os.environ[RESOLVED] = " ".join(sorted(before | resolved))
    # what was resolved a moment ago and is absent already will not be there the next time either
    return bool(resolved - before)


def _mend(session: Session) -> bool:
    """Whether the run is to start again because something damaged was taken out of the cache: once, or the disk itself
    is broken."""
    if not session.collected.damaged or MENDED in os.environ:
        return False
    for error in session.collected.errors.values():
        session.view.say(error.what)
    session.view.say("SOMETHING IN THE CACHE WAS DAMAGED: making it anew")
    os.environ[MENDED] = "1"
    return True


def _stopping(scope: Scope) -> Callable[[int, FrameType | None], None]:
    """A signal handler that kills what runs, then ends as by Ctrl-C: doit saves what was finished."""

    def stop(_signum: int, _frame: FrameType | None) -> None:
        scope.cancel()
        raise KeyboardInterrupt

    return stop


def _open_what_is_closed() -> None:
    """Where we were started without a standard stream, the next file to be opened must not become it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(STDOUT, "w")
    sys.stderr = sys.stderr or os.fdopen(STDERR, "w")


if __name__ == "__main__":
    _open_what_is_closed()
    everything = Scope()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _stopping(everything))
    exit_code = main(sys.argv[1:], scope=everything)
    sys.stderr.flush()
    # worker threads may still wait for a program that was just killed: nothing is left for them to do
    os._exit(exit_code)
