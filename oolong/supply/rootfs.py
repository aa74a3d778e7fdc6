"""Debian packages → a root file system for a sandbox: unpacked with dpkg-deb alone, no maintainer script run.

Only usr/ is kept: inside a sandbox /bin, /lib and the like are links into it. Nothing of the host's user, umask
or clock is left in what a build can see.
"""

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oolong.errors import Infrastructure
from oolong.host import process
from oolong.host.files import remove_tree
from oolong.host.process import Scope
from oolong.host.progress import Progress

UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug")
FOLDER_MODE, PROGRAM_MODE, FILE_MODE = 0o755, 0o755, 0o644


def build_rootfs(
    packages: Sequence[Path], links: Sequence[tuple[str, str]], root: Path, *, progress: Progress, scope: Scope
) -> None:
    """Unpack packages into `root`, which does not exist yet, and add symlinks (path below the root, link text)."""
    root.mkdir()
    # dpkg-deb is one process of decompression and one of tar: two at a time keep a small machine busy
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_unpack, package, root, scope) for package in packages]
        for done, job in enumerate(jobs, start=1):
            job.result()
            progress("packages unpacked", done, len(jobs))
    for entry in root.iterdir():
        if entry.name != "usr":
            remove_tree(entry)
    for unread in UNREAD:
        remove_tree(root / unread)
    for path, text in links:
        link = root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() or link.exists():
            raise Infrastructure(f"the link {path} would hide what a package brings", hint="drop it from `links`")
        link.symlink_to(text)
    fix_modes(root)


def _unpack(package: Path, root: Path, scope: Scope) -> None:
    argv = process.dying_with_parent(["dpkg-deb", "--extract", str(package), str(root)])
    process.check(argv, scope=scope, hint="is there room on the disk?")


def fix_modes(root: Path) -> None:
    """One mode for folders, one for programs, one for other files; no setuid, and nothing that is none of them."""
    for folder, folders, files in os.walk(root):
        Path(folder).chmod(FOLDER_MODE)
        for name in [*folders, *files]:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                path.chmod(PROGRAM_MODE if mode & 0o111 else FILE_MODE)
            elif not stat.S_ISLNK(mode) and not stat.S_ISDIR(mode):
                path.unlink()
