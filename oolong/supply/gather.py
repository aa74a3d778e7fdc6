"""`./doit bundle FILE`: everything that some stages need from outside, the Python packages and the checkout itself."""

import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from oolong import proc
from oolong.layout import Layout
from oolong.stage import Progress, Stage
from oolong.supply import bundle, checkout, repository
from oolong.supply.fetch import Wanted, fetch
from oolong.supply.mirror import mirrors
from oolong.supply.repository import Commit

# what a run makes in a checkout that is no git repository
OUTPUT = frozenset(
    ("build", ".venv", ".venv.lock", ".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
)


def gather(stages: Iterable[Stage], target: Path, *, layout: Layout, progress: Progress) -> int:
    """Fetch what is missing and write the bundle; returns the number of files in it."""
    supplies = {supply.member: supply for stage in stages for supply in stage.supplies}
    wanted = [supply for supply in supplies.values() if isinstance(supply, Wanted)]
    paths = fetch(wanted, layout=layout, mirrors=mirrors, progress=progress)
    members = dict(zip((one.member for one in wanted), paths, strict=True))
    layout.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=layout.scratch, prefix="bundle.") as folder:
        for number, commit in enumerate(one for one in supplies.values() if isinstance(one, Commit)):
            place = Path(folder, f"{number}.pack")
            repository.pack(repository.bring(commit, layout=layout, progress=progress), commit, place)
            members[commit.member] = place
        progress("fetching the Python packages")
        members |= _wheels(layout.checkout / "requirements.lock", Path(folder, "wheels"))
        members |= _checkout(layout.checkout)
        bundle.write(target, members, progress=progress)
    return len(members)


def _wheels(requirements: Path, folder: Path) -> Mapping[str, Path]:
    """What requirements.lock names, for the Python that runs this."""
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:", "--require-hashes"]
    argv = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "--requirement",
        str(requirements),
        "--dest",
        str(folder),
    ]
    proc.check(proc.dying_with_parent(argv), hint="what pip said stands above; is its index reachable?")
    return {f"wheels/{path.name}": path for path in sorted(folder.iterdir())}


def _checkout(folder: Path) -> Mapping[str, Path]:
    if checkout.is_git(folder):
        names = checkout.files(folder)
    else:
        found = (path.relative_to(folder) for path in folder.rglob("*"))
        names = [path.as_posix() for path in found if OUTPUT.isdisjoint(path.parts)]
    paths = {name: folder / name for name in names}
    return {f"oolong/{name}": path for name, path in paths.items() if path.is_file() and not path.is_symlink()}
