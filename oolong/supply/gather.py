"""`./doit bundle FILE`: everything that some stages need from outside, the Python packages and the checkout itself."""

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from oolong.host import process
from oolong.host.filelock import shared
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.host.progress import Progress
from oolong.supply import bundle, checkout, repository
from oolong.supply.fetch import Wanted, fetch
from oolong.supply.mirror import mirrors
from oolong.supply.repository import Commit

# the lock that Store.sweep asks for before it removes LABEL.* from the scratch; bundles share it
LABEL = "bundle"
# what a run makes in a checkout that is no git repository
OUTPUT = frozenset(
    ("build", ".venv", ".venv.lock", ".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
)


def gather(supplies: Iterable[object], target: Path, *, layout: Layout, progress: Progress, scope: Scope) -> int:
    """Fetch what is missing and write the bundle; returns the number of files in it."""
    supplies = tuple(supplies)
    wanted = [supply for supply in supplies if isinstance(supply, Wanted)]
    paths = fetch(wanted, layout=layout, mirrors=mirrors, progress=progress, scope=scope)
    members = dict(zip((one.member for one in wanted), paths, strict=True))
    with _scratch(layout, scope) as folder:
        for number, commit in enumerate(one for one in supplies if isinstance(one, Commit)):
            place = Path(folder, f"{number}.pack")
            ours = repository.bring(commit, layout=layout, progress=progress, scope=scope)
            repository.pack(ours, commit, place, scope=scope)
            members[commit.member] = place
        progress("fetching the Python packages")
        members |= _wheels(layout.checkout / "requirements.lock", Path(folder, "wheels"), scope)
        members |= _checkout(layout.checkout, scope)
        bundle.write(target, members, progress=progress, scope=scope)
    return len(members)


@contextmanager
def _scratch(layout: Layout, scope: Scope) -> Iterator[str]:
    """An empty folder, gone afterwards; no sweep of the cache takes it while this process lives, and any takes it after
    that."""
    layout.scratch.mkdir(parents=True, exist_ok=True)
    with (
        shared(layout.lock(LABEL), waiting=lambda holder: None, check=scope.check),
        tempfile.TemporaryDirectory(dir=layout.scratch, prefix=f"{LABEL}.") as folder,
    ):
        yield folder


def _wheels(requirements: Path, folder: Path, scope: Scope) -> Mapping[str, Path]:
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
    process.check(
        process.dying_with_parent(argv), scope=scope, hint="what pip said stands above; is its index reachable?"
    )
    return {f"wheels/{path.name}": path for path in sorted(folder.iterdir())}


def _checkout(folder: Path, scope: Scope) -> Mapping[str, Path]:
    if checkout.is_git(folder, scope=scope):
        names = checkout.files(folder, scope=scope)
    else:
        found = (path.relative_to(folder) for path in folder.rglob("*"))
        names = [path.as_posix() for path in found if OUTPUT.isdisjoint(path.parts)]
    paths = {name: folder / name for name in names}
    return {f"oolong/{name}": path for name, path in paths.items() if path.is_file() and not path.is_symlink()}
