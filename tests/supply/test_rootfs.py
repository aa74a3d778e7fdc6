"""Small real packages, built and unpacked with dpkg-deb."""

import contextlib
import gzip
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from oolong.errors import BadInput, BadOutput, Infrastructure
from oolong.host.budget import PACKAGE, Budget
from oolong.host.manifest import Entry, entries_of
from oolong.host.process import Scope
from oolong.supply.rootfs import build_rootfs
from tests.archives import sparse
from tests.support import silent


def deb(folder: Path, name: str, files: dict[str, tuple[str, int]]) -> Path:
    """Build a package from path → (text, mode)."""
    tree = folder / name
    for path, (text, mode) in files.items():
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: test\n"
    )
    package = folder / f"{name}.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--build", str(tree), str(package)], check=True, capture_output=True)
    return package


@pytest.fixture
def packages(tmp_path: Path) -> list[Path]:
    one = deb(tmp_path, "one", {"usr/bin/tool": ("#!/bin/sh\n", 0o4755), "usr/share/doc/one/README": ("x", 0o644)})
    two = deb(
        tmp_path, "two", {"usr/lib/data": ("data", 0o600), "etc/shadow": ("x", 0o640), "usr/bin/two": ("2", 0o700)}
    )
    return [one, two]


def test_only_what_a_sandbox_sees_is_kept_with_fixed_modes(tmp_path: Path, packages: list[Path]) -> None:
    umask = os.umask(0o077)
    try:
        build_rootfs(packages, [("usr/bin/awk", "mawk")], tmp_path / "root", progress=silent, scope=Scope())
    finally:
        os.umask(umask)
    root = tmp_path / "root"
    assert [path.name for path in root.iterdir()] == ["usr"]
    assert not (root / "usr/share/doc").exists()
    modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in ("usr", "usr/bin/tool", "usr/lib/data")}
    assert modes == {"usr": 0o755, "usr/bin/tool": 0o755, "usr/lib/data": 0o644}
    assert (root / "usr/bin/awk").readlink() == Path("mawk")


def test_two_unpacks_in_any_order_are_equal(tmp_path: Path, packages: list[Path]) -> None:
    build_rootfs(packages, [("usr/bin/awk", "mawk")], tmp_path / "a", progress=silent, scope=Scope())
    build_rootfs(packages[::-1], [("usr/bin/awk", "mawk")], tmp_path / "b", progress=silent, scope=Scope())
    assert entries_of(tmp_path / "a") == entries_of(tmp_path / "b")
    assert Entry(path="usr/bin/awk", kind="link", content="mawk") in entries_of(tmp_path / "a")
    (tmp_path / "b/usr/lib/data").write_text("date")
    assert entries_of(tmp_path / "a") != entries_of(tmp_path / "b")


def test_a_link_that_hides_a_file_is_refused(tmp_path: Path, packages: list[Path]) -> None:
    with pytest.raises(Infrastructure, match="usr/bin/tool"):
        build_rootfs(packages, [("usr/bin/tool", "other")], tmp_path / "root", progress=silent, scope=Scope())


def test_a_package_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.deb").write_text("not a package")
    with pytest.raises(Infrastructure, match="dpkg-deb"):
        build_rootfs([tmp_path / "bad.deb"], [], tmp_path / "root", progress=silent, scope=Scope())


def hostile(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A package whose files are what `make` leaves in a folder."""
    make(folder / name)
    return deb(folder, name, {})


def built(tmp_path: Path, packages: list[Path], links: Sequence[tuple[str, str]] = ()) -> Path:
    build_rootfs(packages, links, tmp_path / "root", progress=silent, scope=Scope())
    return tmp_path / "root"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host that nothing may reach."""
    folder = tmp_path / "outside"
    (folder / "doc").mkdir(parents=True)
    (folder / "doc" / "kept").write_text("kept")
    return folder


@pytest.mark.parametrize("order", [1, -1])
def test_a_link_of_one_package_is_not_followed_by_another(tmp_path: Path, outside: Path, order: int) -> None:
    def leading_out(tree: Path) -> None:
        (tree / "usr").mkdir(parents=True)
        (tree / "usr" / "lib").symlink_to(outside)

    link = hostile(tmp_path, "link", leading_out)
    file = deb(tmp_path, "file", {"usr/lib/profile": ("evil", 0o755)})
    with pytest.raises(Infrastructure, match="and so does another package"):
        built(tmp_path, [link, file][::order])
    assert [path.name for path in outside.iterdir()] == ["doc"]


def test_what_is_left_out_is_not_looked_for_behind_a_link(tmp_path: Path, outside: Path) -> None:
    def leading_out(tree: Path) -> None:
        (tree / "usr").mkdir(parents=True)
        (tree / "usr" / "share").symlink_to(outside)

    built(tmp_path, [hostile(tmp_path, "link", leading_out)])
    assert (outside / "doc" / "kept").exists()


def test_a_link_that_is_added_is_not_made_behind_a_link(tmp_path: Path, outside: Path) -> None:
    def leading_out(tree: Path) -> None:
        (tree / "usr").mkdir(parents=True)
        (tree / "usr" / "bin").symlink_to(outside)

    with pytest.raises(BadOutput, match="usr/bin is no folder"):
        built(tmp_path, [hostile(tmp_path, "link", leading_out)], [("usr/bin/awk", "mawk")])
    assert [path.name for path in outside.iterdir()] == ["doc"]


def test_a_usr_that_is_a_link_is_refused(tmp_path: Path, outside: Path) -> None:
    def leading_out(tree: Path) -> None:
        tree.mkdir()
        (tree / "usr").symlink_to(outside)

    with pytest.raises(Infrastructure, match="usr is a link"):
        built(tmp_path, [hostile(tmp_path, "link", leading_out)])


def test_a_link_in_a_package_is_followed_inside_the_sandbox_alone(tmp_path: Path, outside: Path) -> None:
    """A tar may name a link, and then a file behind it."""
    package = tmp_path / "link.deb"
    link = tarfile.TarInfo("./usr/lib")
    link.type, link.linkname = tarfile.SYMTYPE, str(outside)
    write_deb(package, [(folder_of("./usr"), b""), (link, b""), (tarfile.TarInfo("./usr/lib/profile"), b"evil")])
    with contextlib.suppress(Infrastructure):
        built(tmp_path, [package])
    assert [path.name for path in outside.iterdir()] == ["doc"]


def folder_of(name: str) -> tarfile.TarInfo:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    return folder


def write_deb(package: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> None:
    """A package from the members of its tar: deb(5)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w:gz") as archive:
        text = b"Package: x\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: x\n"
        member = tarfile.TarInfo("./control")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    parts = (("debian-binary", b"2.0\n"), ("control.tar.gz", control.getvalue()), ("data.tar.gz", data.getvalue()))
    ar = b"!<arch>\n"
    for name, content in parts:
        head = f"{name:<16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(content):<10}`\n"
        ar += head.encode() + content + b"\n" * (len(content) % 2)
    package.write_bytes(ar)


SMALL = Budget(entries=100, size=1 << 20, depth=10)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([(tarfile.TarInfo("./usr/zeros"), bytes(4 << 20))], "unpacks to more than 1 MiB"),
        ([(tarfile.TarInfo(f"./usr/{number}"), b"") for number in range(101)], "more than 100 files"),
        ([(tarfile.TarInfo("./usr/" + "a/" * 12 + "x"), b"")], "more than 10 folders deep"),
        ([(tarfile.TarInfo("./usr/" + "a" * 5000), b"")], "a name of more than 4096 bytes"),
    ],
)
def test_a_package_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[tuple[tarfile.TarInfo, bytes]], told: str
) -> None:
    """The real budgets hold for gigabytes; smaller ones are stopped in the same way."""
    monkeypatch.setattr("oolong.supply.deb.PACKAGE", SMALL)
    write_deb(tmp_path / "bomb.deb", members)
    assert (tmp_path / "bomb.deb").stat().st_size < 20_000
    with pytest.raises(BadInput, match=told):
        built(tmp_path, [tmp_path / "bomb.deb"])


def test_a_file_of_holes_in_a_package_counts_with_its_holes(tmp_path: Path) -> None:
    data = sparse("./usr/zeros", claimed=PACKAGE.size + 1024)
    write_deb(tmp_path / "bomb.deb", [])
    whole = (tmp_path / "bomb.deb").read_bytes()
    at = whole.index(b"data.tar.gz")
    packed = gzip.compress(data + bytes(1024))
    head = f"{'data.tar.gz':<16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(packed):<10}`\n".encode()
    (tmp_path / "bomb.deb").write_bytes(whole[:at] + head + packed + b"\n" * (len(packed) % 2))
    with pytest.raises(BadInput, match="holds more than 4096 MiB"):
        built(tmp_path, [tmp_path / "bomb.deb"])


def test_equal_files_of_two_packages_are_one(tmp_path: Path) -> None:
    one = deb(tmp_path, "one", {"usr/lib/x": ("same", 0o644)})
    two = deb(tmp_path, "two", {"usr/lib/x": ("same", 0o644), "usr/lib/y": ("y", 0o644)})
    other = deb(tmp_path, "other", {"usr/lib/x": ("other", 0o644)})
    assert (built(tmp_path, [one, two]) / "usr/lib/x").read_text() == "same"
    with pytest.raises(Infrastructure, match=r"other\.deb brings .*x, and so does another package"):
        build_rootfs([one, other], [], tmp_path / "second", progress=silent, scope=Scope())
