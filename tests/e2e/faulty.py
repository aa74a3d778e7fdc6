"""Cells with a kernel that a patch makes faulty, and what became of them."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import schema
from tests.e2e.conftest import Smoke
from tests.support import victims

FTRACE, SCRIPT = "arch/powerpc/kernel/trace/ftrace.c", "arch/powerpc/tools/ftrace-gen-ool-stubs.sh"
# (file, what stands there once, what stands there instead)
Edit = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What became of a cell with a faulty kernel: its result.json and its console."""

    result: dict[str, Any]
    console: str

    def check(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(check for check in self.result["verdict"]["checks"] if check["name"] == name)
        return found

    @property
    def failing(self) -> set[str]:
        return {check["name"] for check in self.result["verdict"]["checks"] if check["status"] == "fail"}

    def victims(self, name: str) -> set[str]:
        """Whom a failed check names."""
        check = self.check(name)
        assert check["status"] == "fail", check["evidence"]
        return set(victims(check))

    @property
    def verdict(self) -> tuple[str, str | None]:
        """Its status and its kind."""
        return self.result["verdict"]["status"], self.result["verdict"]["kind"]

    @property
    def boot_kind(self) -> str | None:
        found: str | None = next(stage["kind"] for stage in self.result["stages"] if stage["stage"] == "boot")
        return found


def patch_of(tree: Path, edits: Iterable[Edit]) -> str:
    """The edits of a kernel as one patch."""
    edited: dict[str, str] = {}
    for file, before, after in edits:
        text = edited.get(file) or (tree / file).read_text()
        assert text.count(before) == 1, f"{file}: {before!r}"
        edited[file] = text.replace(before, after)
    lines: list[str] = []
    for file, text in edited.items():
        original = (tree / file).read_text().splitlines(keepends=True)
        lines += difflib.unified_diff(original, text.splitlines(keepends=True), f"a/{file}", f"b/{file}")
    return "".join(lines)


def built(smoke: Smoke, cells: Sequence[str], patch: str, folder: Path, *words: str) -> dict[str, Built]:
    """Build, boot and judge a patched kernel in some cells; what became of them, by the name of the cell."""
    file = folder / "edits.patch"
    file.write_text(patch)
    done = smoke.checkout.doit("-n", str(len(cells)), *(f"cell:{cell}" for cell in cells), f"patches={file}", *words)
    assert done.code in (0, 1), done.err
    found = {}
    for cell in cells:
        result = smoke.checkout.result(cell)
        schema.check(result)
        console = smoke.checkout.folder / "build" / "results" / cell / "console.log"
        found[cell] = Built(result=result, console=console.read_text(errors="replace"))
    return found
