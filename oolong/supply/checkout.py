"""What a git checkout holds, told by git in a sandbox of its own.

A checkout's settings can name programs (core.fsmonitor, core.sshCommand, filters, fetches of missing objects). So git
sees nothing but itself and the checkout, read-only, without network and without the caller's environment.
"""

from pathlib import Path

from oolong import proc
from oolong.errors import BadInput, Infrastructure

SETTINGS = ("safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.excludesFile=/dev/null")
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nowhere",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
SYSTEM = ("/usr", "/bin", "/lib", "/lib64")


def is_git(tree: Path) -> bool:
    """Whether the tree itself, not a folder around it, is a git checkout; BadInput if git cannot make sense of it."""
    if not (tree / ".git").exists():
        return False
    done = proc.run(_git(tree, "rev-parse", "--is-inside-work-tree"))
    if not done.ok:
        said = done.output.decode(errors="replace").strip()
        raise BadInput(f"git cannot read this checkout: {said}", where=f"kernel={tree}")
    return True


def files(tree: Path) -> list[str]:
    """The names of what is tracked and what is neither tracked nor ignored; some may be gone from the disk."""
    done = proc.run(_git(tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard"))
    if not done.ok:
        raise Infrastructure(f"git ls-files: {done.output.decode(errors='replace')[-600:].strip()}")
    return [name for name in done.output.decode("utf-8", "surrogateescape").split("\0") if name]


def _git(tree: Path, *words: str) -> list[str]:
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        argv += ["--setenv", name, value]
    for folder in SYSTEM:
        argv += ["--ro-bind-try", folder, folder]
    argv += ["--dev", "/dev", "--proc", "/proc"]
    for folder_of_git in (tree, *_elsewhere(tree)):
        argv += ["--ro-bind", str(folder_of_git), str(folder_of_git)]
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    return [*argv, "--remount-ro", "/", "--", "git", *settings, "-C", str(tree), *words]


def _elsewhere(tree: Path) -> list[Path]:
    """The repository of a linked worktree, which lies outside of it (gitrepository-layout, `.git` as a file)."""
    pointer = tree / ".git"
    if not pointer.is_file():
        return []
    text = pointer.read_text(encoding="utf-8", errors="surrogateescape").strip()
    folder = (tree / text.removeprefix("gitdir: ")).resolve()
    if folder.parent.name == "worktrees":
        folder = folder.parent.parent
    # a repository, not whatever folder the file may name
    return [folder] if (folder / "HEAD").is_file() and (folder / "objects").is_dir() else []
