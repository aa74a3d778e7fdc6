"""Bytes of a kernel, a build or a server on their way to a terminal: nothing that steers it gets there."""

import io
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.audit.__main__ import described as described_checks
from oolong.audit.check import Check, CheckStatus
from oolong.binary.disassembly import Line
from oolong.errors import BadInput, Infrastructure
from oolong.explain.model import Function
from oolong.explain.text import described
from oolong.host.process import Scope
from oolong.run.project import Project
from oolong.run.project import Request as ProjectRequest
from tasks.cli import summary
from tasks.cli.commandline import Request
from tasks.cli.exit_code import Collected
from tasks.cli.view import View
from tasks.session import Session
from tests.support import CHECKOUT, TEST_DATA, layout_in

DATA = TEST_DATA
# a window's title, a cleared screen, a bell, a C1 control, an order of the letters that deceives, a broken UTF-8
STEERING = ("\x1b]0;title\x07", "\x1b[2J", "\a", "\x9b2J", "\u202e", "\udce9", "\r", "\x7f")
CLEAR = b"\x1b[2J"


def is_harmless(text: str) -> bool:
    """Whether no character but newlines and tabs is a control, a format or half of a pair."""
    return all(character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs") for character in text)


def renamed(path: Path, before: bytes, after: bytes, folder: Path) -> Path:
    """A copy of a file with other bytes in the place of some."""
    data = path.read_bytes()
    assert before in data
    assert len(before) == len(after)
    copy = folder / path.name
    copy.write_bytes(data.replace(before, after))
    return copy


def program(module: str, *words: str | Path) -> str:
    """Everything that a program of ours writes."""
    argv = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("bytes_of_it", STEERING)
def test_an_error_steers_no_terminal_and_keeps_its_lines(bytes_of_it: str) -> None:
    error = BadInput(f"one{bytes_of_it}\ntwo\tthree", where=f"a{bytes_of_it}b", hint=f"do{bytes_of_it}this")
    told = str(error)
    assert is_harmless(told)
    lines = told.split("\n")
    assert lines[0].startswith("a\ufffd")
    assert lines[1] == "two\tthree"
    assert lines[2].startswith("  do\ufffd")
    assert told == str(error.args[0])


@pytest.mark.parametrize("bytes_of_it", STEERING)
def test_the_end_of_a_run_steers_no_terminal(
    bytes_of_it: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = View(io.StringIO(), quiet=True)
    project = Project(ProjectRequest(), layout_in(tmp_path))
    request = Request(variables={}, words=())
    session = Session(request=request, project=project, view=view, collected=Collected(), scope=Scope())
    session.collected.error("boot:x", Infrastructure(f"the guest said {bytes_of_it}here"))
    session.collected.crash("link:x", f"Traceback:\n  of {bytes_of_it}there")
    summary.show(session)
    told = capsys.readouterr().err
    assert "here" in told
    assert "Traceback:\n  of " in told
    assert is_harmless(told)


@pytest.mark.parametrize("bytes_of_it", STEERING)
def test_what_a_run_says_as_it_goes_steers_no_terminal(bytes_of_it: str) -> None:
    stream = io.StringIO()
    View(stream).say(f"waiting for {bytes_of_it}somebody")
    assert "somebody" in stream.getvalue()
    assert is_harmless(stream.getvalue())


def test_a_symbols_name_in_the_audit_steers_no_terminal(tmp_path: Path) -> None:
    image = renamed(DATA / "audit" / "image-no-nop-le", b"leaf\0", CLEAR + b"\0", tmp_path)
    told = program("oolong.audit", DATA / "audit" / "image-healthy-le.o", image)
    assert "at \ufffd[2J" in told
    assert is_harmless(told)


@pytest.mark.parametrize("bytes_of_it", STEERING)
def test_evidence_in_the_audit_steers_no_terminal(bytes_of_it: str) -> None:
    check = Check(name="image.x", status=CheckStatus.FAIL, evidence=f"at {bytes_of_it}here")
    told = described_checks([check, check])
    assert told.count("here\n") == 2
    assert is_harmless(told)


@pytest.mark.parametrize("module", ["oolong.stubs", "oolong.audit"])
def test_a_sections_name_in_an_error_steers_no_terminal(tmp_path: Path, module: str) -> None:
    path = renamed(DATA / "objects" / "broken-data.o", b".data\0", CLEAR + b"x\0", tmp_path)
    rest = ("--reserve", "0") if module == "oolong.stubs" else (DATA / "audit" / "image-healthy-le",)
    told = program(module, path, *rest)
    assert "\ufffd[2Jx" in told
    assert is_harmless(told)


@pytest.mark.parametrize("bytes_of_it", STEERING)
def test_an_explanation_steers_no_terminal(bytes_of_it: str) -> None:
    line = Line(address=0x1000, word=0x48000001, text="bl callee")
    one = Function(
        name="f", address=0x1000, size=4, local_entry=0, entry=(line,), notes=("note",), sites=(), findings=()
    )
    steering = replace(
        one,
        name=f"f{bytes_of_it}",
        entry=(line._replace(text=f"bl {bytes_of_it}callee"),),
        notes=(f"note of {bytes_of_it}",),
    )
    told = described(steering)
    assert "callee" in told
    assert is_harmless(told)
    assert len(told.splitlines()) == len(described(one).splitlines()) == 3
