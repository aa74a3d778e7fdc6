"""Repositories that are made to hurt."""

import subprocess
from pathlib import Path

import pytest

from oolong.errors import BadInput
from oolong.host.budget import Budget
from oolong.host.process import Scope
from oolong.supply import repository
from oolong.supply.repository import Commit
from tests.support import layout_in, silent

AUTHOR = ("-c", "user.name=T", "-c", "user.email=t@example.org")


def git(folder: Path, *words: str, given: str = "") -> str:
    argv = ["git", "-C", str(folder), *AUTHOR, *words]
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def bomb(tmp_path: Path) -> Commit:
    """Ten trees, each of which holds the one before ten times: 10^10 files in a few objects."""
    folder = tmp_path / "bomb"
    folder.mkdir()
    git(folder, "init", "-q")
    blob = git(folder, "hash-object", "-w", "--stdin", given="x")
    tree = git(folder, "mktree", given="".join(f"100644 blob {blob}\tf{number}\n" for number in range(10)))
    for _ in range(9):
        tree = git(folder, "mktree", given="".join(f"040000 tree {tree}\td{number}\n" for number in range(10)))
    commit = git(folder, "commit-tree", "-m", "bomb", tree)
    git(folder, "branch", "main", commit)
    return Commit(url=str(folder), commit=commit, ref="main")


def test_a_commit_of_few_bytes_and_files_without_end_is_refused(
    bomb: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oolong.supply.repository.ARCHIVE", Budget(entries=10_000, size=1 << 30, depth=64))
    ours = repository.bring(bomb, layout=layout_in(tmp_path), progress=silent, scope=Scope())
    (tmp_path / "tree").mkdir()
    with pytest.raises(BadInput, match="holds more than 10000 files"):
        repository.check_out(ours, bomb, tmp_path / "tree", scope=Scope())
    assert list((tmp_path / "tree").iterdir()) == []


def test_a_server_that_sends_without_end_is_cut_off(
    bomb: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More random bytes than a commit may have."""
    monkeypatch.setattr(repository, "LARGEST_FETCH", 1 << 20)
    folder = Path(bomb.url)
    with (folder / "noise").open("wb") as sink, Path("/dev/urandom").open("rb") as source:
        for _ in range(8):
            sink.write(source.read(1 << 20))
    git(folder, "add", "noise")
    git(folder, "commit", "-q", "-m", "noise")
    commit = Commit(url=bomb.url, commit=git(folder, "rev-parse", "HEAD"), ref="HEAD")
    layout = layout_in(tmp_path)
    with pytest.raises(BadInput, match="sends more than 1 MiB for one commit"):
        repository.bring(commit, layout=layout, progress=silent, scope=Scope())
    assert not list(layout.cache.rglob("*.pack"))
    assert not list(layout.cache.rglob("tmp_pack_*"))
