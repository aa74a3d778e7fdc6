"""A copy of this checkout in which tests run ./doit as a person would, with a cache and settings of its own."""

import atexit
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from oolong.host import process
from oolong.host.layout import FORMAT, Layout, default_cache
from tests.support import CHECKOUT

STAGES = f"v{FORMAT}/stages"
FAKELINUX = CHECKOUT / "tests" / "fakelinux"
# the little-endian cell on it, and files of it
CELL = "le-minimal-gcc-14-fakelinux"
CONSOLE, SCRIPT = "console.txt", "arch/powerpc/tools/ftrace-gen-ool-stubs.sh"
FAKELINUX_NOT_DUE = """    not_due:
      config.out-of-line-probe: fakelinux has no script that looks at the compiler
      tree.*: fakelinux does not build its stubs as the kernel does
      live.*: fakelinux has no ftrace, and no function to stop at
      stops.*: fakelinux has no function to stop at
      guest.*: fakelinux has no guest that reports
      sections.*: fakelinux has no guest that reports
"""
PROJECT = (
    "configs",
    "guest",
    "known-issues.yaml",
    "oolong",
    "pipeline.lock",
    "pipeline.yaml",
    "tasks",
    "templates",
    "toolchains",
    "dodo.py",
    "doit",
    "requirements.lock",
)


PROJECT_MAY_HAVE = ("pipeline.victims",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a ./doit ended: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A copy of the project at `folder` and the cache that it uses."""

    folder: Path
    cache: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """Every path of its runs."""
        return Layout(checkout=self.folder, cache=self.cache)

    @property
    def stages(self) -> Path:
        """Where the cache has its finished stages."""
        return self.layout.stages

    def doit(self, *words: str, cwd: Path | None = None, timeout: float = 3000) -> Ran:
        """Run ./doit, less its making of .venv: the interpreter of the tests is used."""
        done = subprocess.run(
            self.argv(*words),
            cwd=self.folder,
            env=self.env(cwd),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def argv(self, *words: str) -> list[str]:
        return process.dying_with_parent([sys.executable, "-m", "tasks", *words])

    def env(self, cwd: Path | None = None) -> dict[str, str]:
        own = {
            "OOLONG_CACHE": str(self.cache),
            "OOLONG_CALLER_DIR": str(cwd or self.folder),
            # as the wrapper does
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**os.environ, **own, **self.environment}

    def result(self, cell: str) -> dict[str, Any]:
        """The cell's result.json."""
        read: dict[str, Any] = json.loads((self.folder / "build" / "results" / cell / "result.json").read_bytes())
        return read


def with_kernel(pipeline: str, name: str) -> str:
    """The text of pipeline.yaml with another kernel, in its axis and in its inclusions."""
    assert "kernel: [v7.3.4]" in pipeline
    return pipeline.replace("kernel: [v7.3.4]", f"kernel: [{name}]").replace("kernel: v7.3.4,", f"kernel: {name},")


def for_fakelinux(checkout: Checkout) -> Checkout:
    """Declare what a kernel of eight functions and a console cannot have."""
    path = checkout.folder / "pipeline.yaml"
    text, after = path.read_text(), "    cmdline: console=hvc0 panic=-1\n"
    assert text.count(after) == 1
    path.write_text(text.replace(after, after + FAKELINUX_NOT_DUE))
    return checkout


def copied_to(folder: Path, *, cache: Path) -> Checkout:
    """Copy the parts of this project that a run reads."""
    folder.mkdir(parents=True)
    for name in PROJECT:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy2(source, folder / name)
    # what no cell has been recorded for is not there
    for name in PROJECT_MAY_HAVE:
        if (CHECKOUT / name).exists():
            shutil.copy2(CHECKOUT / name, folder / name)
    return Checkout(folder=folder, cache=cache)


@cache
def _stat_cache() -> Path:
    """A copy of what the usual cache knows of its root file systems, so that not each new cache hashes them."""
    folder = Path(tempfile.mkdtemp(prefix="oolong-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    usual, copy = layout_of(default_cache()).stat_cache, folder / "stat-cache.sqlite3"
    if usual.exists():
        with closing(sqlite3.connect(usual)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    return copy


def layout_of(cache: Path) -> Layout:
    """The layout of this checkout with another cache."""
    return Layout(checkout=CHECKOUT, cache=cache)


def cache_with_tools(folder: Path) -> Path:
    """A new cache that shares nothing with the usual one but downloads and root file systems."""
    usual = default_cache()
    folder.mkdir(parents=True, exist_ok=True)
    layout_of(folder).stat_cache.symlink_to(_stat_cache())
    for shared in ("downloads", f"{STAGES}/rootfs"):
        (usual / shared).mkdir(parents=True, exist_ok=True)
        (folder / shared).parent.mkdir(parents=True, exist_ok=True)
        (folder / shared).symlink_to(usual / shared)
    return folder


def root_with(*files: str) -> Path:
    """The usr/ of a root file system of the usual cache that has some files; it exists once the toolchains are made."""
    roots = (root / "usr" for root in (default_cache() / STAGES / "rootfs").glob("*/root"))
    return next(root for root in roots if all((root / file).exists() for file in files))


def made_own(folder: Path) -> None:
    """Put a copy of its own, by hard links, in the place of a folder that a cache shares with the usual one."""
    shared = folder.resolve()
    folder.unlink()
    subprocess.run(["cp", "--archive", "--link", str(shared), str(folder)], check=True)


def fake_kernel(folder: Path, edits: Sequence[tuple[str, str, str]] = ()) -> Path:
    """A copy of tests/fakelinux with faults: (file, what stands there, what stands there instead)."""
    shutil.copytree(FAKELINUX, folder)
    for file, before, after in edits:
        text = (folder / file).read_text()
        assert before in text, f"{file} of fakelinux has no {before!r}"
        (folder / file).write_text(text.replace(before, after))
    return folder


def run_fake(checkout: Checkout, *edits: tuple[str, str, str], words: tuple[str, ...] = ()) -> Ran:
    """Build and boot the little-endian cell on a copy of fakelinux with some faults."""
    kernel = fake_kernel(checkout.folder.parent / "fakelinux", edits)
    return checkout.doit(*(words or (f"cell:{CELL}",)), f"kernel={kernel}")


def stage_of(result: dict[str, object], name: str) -> str:
    """The data of a stage, as JSON."""
    stages = result["stages"]
    assert isinstance(stages, list)
    return json.dumps(next(stage["data"] for stage in stages if stage["stage"] == name))
