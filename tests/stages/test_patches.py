"""Patches that are made to hurt, applied by the real patch of a root file system."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.engine.stage import Input, Outcome
from oolong.errors import BadInput
from oolong.host.budget import Budget
from oolong.stages import source
from oolong.stages.outputs import ROOT, TREE
from tests.checkout import root_with
from tests.support import folder_as, stage_of, work_of

SMALL = Budget(entries=1000, size=8 << 20, depth=64)
LARGE = "large.c"
# of them, 8 and no more are within the budget
COPIES = 100


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool_cache: Path) -> Callable[[str], Path]:
    """Applies a patch to a small kernel with one file of 1 MiB; returns the tree that it left."""
    base, folder = tmp_path / "base", tmp_path / "work"
    folder.mkdir()
    for name in ("Makefile", "Kconfig", "arch/powerpc/Kconfig"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text("line\n")
    (base / LARGE).write_bytes(b"x" * (1 << 20))
    monkeypatch.setattr(source, "ARCHIVE", SMALL)
    root = root_with("bin/patch", "bin/dash").parent

    def apply(text: str) -> Path:
        inputs = {"base": folder_as(TREE, base), "tools": folder_as(ROOT, root)}
        roles = tuple(
            Input(role=role, stage=stage_of(role, lambda work: Outcome()), output=output)
            for role, output in (("base", TREE), ("tools", ROOT))
        )
        stage = replace(stage_of("source", lambda work: Outcome()), inputs=roles)
        work = work_of(stage, folder, **inputs)
        source._apply([("a.patch", text.encode("utf-8", "surrogateescape"))], work)
        return folder / TREE

    return apply


def copies(count: int) -> str:
    """What git writes of copies: a hundred bytes for a file of any size."""
    return "".join(
        f"diff --git a/{LARGE} b/{number}.c\nsimilarity index 100%\ncopy from {LARGE}\ncopy to {number}.c\n"
        for number in range(count)
    )


def test_a_patch_may_copy_files(applied: Callable[[str], Path]) -> None:
    tree = applied(copies(3))
    assert [(tree / f"{number}.c").stat().st_size for number in range(3)] == [1 << 20] * 3


def test_a_patch_that_copies_a_large_file_again_and_again_is_refused(applied: Callable[[str], Path]) -> None:
    with pytest.raises(BadInput, match=r"patches=a\.patch: holds more than 8 MiB"):
        applied(copies(COPIES))


def test_it_is_ended_while_it_copies(
    applied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The disk that it fills says so; others may fill or empty the disk of this machine too."""
    tree = tmp_path / "work" / TREE

    def size() -> int:
        # patch writes beside what it makes, and renames all at its end
        sizes = []
        for path in tree.iterdir():
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return sum(sizes)

    monkeypatch.setattr(source, "_free", lambda folder: (1 << 40) - size())
    with pytest.raises(BadInput, match="holds more than 8 MiB"):
        applied(copies(20 * COPIES))
    assert 8 << 20 <= size() < 20 * COPIES << 20


def test_a_file_that_a_patch_makes_has_a_limit(applied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oolong.supply.tree.LARGEST_FILE", 1 << 19)
    with pytest.raises(BadInput, match=r"patches=a\.patch: does not apply"):
        applied(copies(1))


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "a\0b"])
def test_a_name_that_no_file_can_have_is_bad_input(applied: Callable[[str], Path], name: str) -> None:
    with pytest.raises(BadInput, match=r"patches=a\.patch"):
        applied(f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-line\n+other\n")


def test_a_patch_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "hole.patch").touch()
    with (tmp_path / "hole.patch").open("r+b") as file:
        file.truncate(100 << 30)
    with pytest.raises(BadInput, match="has more than 256 MiB"):
        source._read(tmp_path / "hole.patch")
