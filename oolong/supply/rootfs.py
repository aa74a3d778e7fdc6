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
from oolong.host.digest import file_sha256
from oolong.host.files import is_below_links, real_folder, remove_tree
from oolong.host.process import Scope
from oolong.host.progress import Progress
from oolong.supply import deb

UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug")
FOLDER_MODE, PROGRAM_MODE, FILE_MODE = 0o755, 0o755, 0o644


def build_rootfs(
    packages: Sequence[Path], links: Sequence[tuple[str, str]], root: Path, *, progress: Progress, scope: Scope
) -> None:
    """Unpack packages into `root`, which does not exist yet, and add symlinks (path below the root, link text)."""
    root.mkdir()
    apart = root.with_name(f"{root.name}.packages")
    # opening is one process of decompression and one of tar: two at a time keep a small machine busy
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        folders = [apart / str(number) for number, _ in enumerate(packages)]
        jobs = [pool.submit(_unpack, *job, scope) for job in zip(packages, folders, strict=True)]
        for done, job in enumerate(jobs, start=1):
            job.result()
            progress("packages unpacked", done, len(jobs))
    for package, folder in zip(packages, folders, strict=True):
        merge(folder / "usr", root / "usr", name=package.name)
    remove_tree(apart)
    for path, text in links:
        link = real_folder(root, str(Path(path).parent)) / Path(path).name
        if os.path.lexists(link):
            raise Infrastructure(f"the link {path} would hide what a package brings", hint="drop it from `links`")
        link.symlink_to(text)
    fix_modes(root)


def _unpack(package: Path, folder: Path, scope: Scope) -> None:
    """One package in a folder of its own: a link of it leads no other package astray."""
    deb.unpack(package, folder, label=package.name, scope=scope)
    if (folder / "usr").is_symlink():
        raise Infrastructure(f"{package.name}: usr is a link", hint="the lock names no Debian package")
    for unread in UNREAD:
        if not is_below_links(folder, unread):
            remove_tree(folder / unread)
    fix_modes(folder)


def merge(source: Path, target: Path, *, name: str) -> None:
    """Move what lies in a folder to another one, following no link; Infrastructure where both have something else of
    one name."""
    if not source.is_dir():
        return
    if not os.path.lexists(target):
        source.rename(target)
    elif _is_folder(target):
        for entry in list(source.iterdir()):
            place = target / entry.name
            if _is_folder(entry):
                merge(entry, place, name=name)
            elif not os.path.lexists(place):
                entry.rename(place)
            elif not _equal(entry, place):
                raise _two(place, name)
    else:
        raise _two(target, name)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _equal(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return other.is_file() and one.stat().st_mode == other.stat().st_mode and file_sha256(one) == file_sha256(other)


def _two(place: Path, name: str) -> Infrastructure:
    return Infrastructure(
        f"{name} brings {place}, and so does another package", hint="leave one of them out: `without`"
    )


def fix_modes(root: Path) -> None:
    """One mode for folders, one for programs, one for other files; no setuid, and nothing that is none of them."""
    root.chmod(FOLDER_MODE)
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                # before it is looked into
                path.chmod(FOLDER_MODE)
            elif stat.S_ISREG(mode):
                path.chmod(PROGRAM_MODE if mode & 0o111 else FILE_MODE)
            elif not stat.S_ISLNK(mode):
                path.unlink()
