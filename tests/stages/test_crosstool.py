"""A toolchain that is a tarball, as kernel.org has them, from a server on loopback: a real cross gcc, packed anew."""

from pathlib import Path

import pytest

from tests import crosstool
from tests.checkout import Checkout, fake_kernel
from tests.crosstool import LE
from tests.loopback import Mirror

CELL = "le-minimal-crosstool-fakelinux"


@pytest.fixture(scope="module")
def tarball(tool_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crosstool.pack(tmp_path_factory.mktemp("crosstool") / "crosstool.tar", [LE])


def test_a_toolchain_from_a_tarball_builds_and_boots(alone: Checkout, server: Mirror, tarball: Path) -> None:
    sha256 = crosstool.use(alone, server, tarball, {"le": LE})
    kernel = fake_kernel(alone.folder.parent / "fakelinux")
    done = alone.doit(f"cell:{CELL}", f"kernel={kernel}")
    assert done.code == 0, done.err
    result = alone.result(CELL)
    assert result["verdict"]["status"] == "pass"
    recipes = {stage["task"]: stage["recipe"] for stage in result["stages"]}
    assert recipes["rootfs:kbuild+crosstool"]["inputs"]["tarball crosstool"] == sha256
    assert f"CROSS_COMPILE=/usr/local/crosstool/bin/{LE}-" in recipes[f"compile:{CELL}"]["argv"][0]
    asked = len(server.requests)
    assert alone.doit("rootfs:kbuild+crosstool", f"kernel={kernel}").code == 0
    assert len(server.requests) == asked


def test_a_tarball_that_is_another_is_never_unpacked(alone: Checkout, server: Mirror, tarball: Path) -> None:
    crosstool.use(alone, server, tarball, {"le": LE})
    server.serve("/crosstool.tar", b"another" * 1000)
    before = set((alone.stages / "rootfs").iterdir())
    done = alone.doit("rootfs:kbuild+crosstool")
    assert done.code == 3
    assert "crosstool.tar cannot be fetched" in done.err
    assert "not what was locked" in done.err
    assert set((alone.stages / "rootfs").iterdir()) == before
