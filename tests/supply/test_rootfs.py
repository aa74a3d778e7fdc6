"""Small real packages, built and unpacked with dpkg-deb."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from oolong.errors import Infrastructure
from oolong.host.manifest import Entry, entries_of
from oolong.host.process import Scope
from oolong.supply.rootfs import build_rootfs
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
