"""What a git checkout holds, told by git in its sandbox."""

from pathlib import Path

from oolong.errors import BadInput, Infrastructure
from oolong.host import process
from oolong.host.process import Scope
from oolong.supply import git


def is_git(tree: Path, *, scope: Scope | None = None) -> bool:
    """Whether the tree itself, not a folder around it, is a git checkout; BadInput if git cannot make sense of it."""
    if not (tree / ".git").exists():
        return False
    done = _git(tree, scope, "rev-parse", "--is-inside-work-tree")
    if not done.ok:
        raise BadInput(f"git cannot read this checkout: {git.said(done)}", where=f"kernel={tree}")
    return True


def files(tree: Path, *, scope: Scope | None = None) -> list[str]:
    """The names of what is tracked and what is neither tracked nor ignored; some may be gone from the disk.

    They are the checkout's own word: nothing says that they stay inside of it.
    """
    done = _git(tree, scope, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if not done.ok:
        raise Infrastructure(f"git ls-files: {git.said(done)}")
    names = done.output.decode("utf-8", "surrogateescape").split("\0")
    # another repository inside, which is not tracked, comes with a slash at its end
    return [name.removesuffix("/") for name in names if name]


def _git(tree: Path, scope: Scope | None, *words: str) -> process.Finished:
    return git.run(["-C", str(tree), *words], mounts=git.mounts_of(tree), where=str(tree), scope=scope)
