"""Answers left for the next process: remembered, lost without harm, and without a file of no lasting effect."""

import json
from pathlib import Path

import pytest

from oolong.host.memo import MOST_ANSWERS, Memo


def asked(path: Path | None) -> tuple[str, bool]:
    """A process that needs one answer: the answer, and whether it had to work for it."""
    memo = Memo(path)
    worked: list[str] = []

    def work() -> str:
        worked.append("once")
        return "an answer"

    answer = memo.answer("a key", work)
    assert memo.answer("a key", work) == answer
    memo.save()
    return answer, bool(worked)


def test_the_next_process_does_not_work_again(tmp_path: Path) -> None:
    path = tmp_path / "hints" / "answers.json"
    assert [asked(path), asked(path)] == [("an answer", True), ("an answer", False)]


def test_without_a_file_answers_last_as_long_as_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [asked(None), asked(None)] == [("an answer", True), ("an answer", True)]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_or_overgrown_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    for text in ("{", "[]", json.dumps({str(number): 0 for number in range(MOST_ANSWERS)})):
        path.write_text(text)
        assert asked(path) == ("an answer", True)
        assert json.loads(path.read_text()) == {"a key": "an answer"}


def test_a_file_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert asked(tmp_path / "file" / "answers.json") == ("an answer", True)
