"""A toolchain that is a tarball, as kernel.org has them, from a server on loopback: a real cross gcc, packed anew."""

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.host.layout import default_cache
from tests import loopback
from tests.checkout import Checkout, fake_kernel, made_own
from tests.loopback import Mirror

TARGET, SUFFIX = "powerpc64le-linux-gnu", "ppc64el"
CELL = "le-minimal-crosstool-fakelinux"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@pytest.fixture
def server() -> Iterator[Mirror]:
    with loopback.mirror() as running:
        yield running


@pytest.fixture(scope="module")
def tarball(tool_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gcc 14 for little endian in the layout of a crosstool: one folder at the top, with bin/, lib/, libexec/."""
    roots = (path for path in (default_cache() / "stages" / "rootfs").glob("*/root/usr"))
    usr = next(root for root in roots if (root / "bin" / f"{TARGET}-gcc-14").exists())
    archive = tmp_path_factory.mktemp("crosstool") / "crosstool.tar"
    with tarfile.open(archive, "w") as out:
        for name in ("gcc-14", "as", "ld", "ld.bfd", "objdump", "objcopy", "nm"):
            as_called = name.removesuffix("-14")
            out.add(usr / "bin" / f"{TARGET}-{name}", f"gcc-14-nolibc/bin/{TARGET}-{as_called}")
        for folder in (f"lib/gcc-cross/{TARGET}", f"libexec/gcc-cross/{TARGET}", TARGET):
            out.add(usr / folder, f"gcc-14-nolibc/{folder}")
        for library in sorted((usr / "lib" / "x86_64-linux-gnu").glob(f"*{SUFFIX}*.so*")):
            out.add(library, f"gcc-14-nolibc/lib/{library.name}")
    return archive


def use(checkout: Checkout, server: Mirror, tarball: Path) -> str:
    """Add the toolchain `crosstool`; returns its SHA-256."""
    data = tarball.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    with tarfile.open(tarball) as archive:
        names = [Path(name).name for name in archive.getnames() if "/lib/lib" in name]
    links = "".join(f"  {LIBRARIES}/{name}: ../../local/crosstool/lib/{name}\n" for name in names)
    (checkout.folder / "toolchains" / "crosstool.yaml").write_text(
        "family: gcc\n"
        f'tarball: {{url: "{server.serve("/crosstool.tar", data)}", sha256: {sha256}}}\n'
        f"prefixes: {{le: /usr/local/crosstool/bin/{TARGET}-}}\nlinks:\n{links}"
    )
    pipeline = checkout.folder / "pipeline.yaml"
    cell = "{endian: le, config: minimal, toolchain: crosstool, kernel: v7.3.4, machine: pseries}"
    pipeline.write_text(pipeline.read_text().replace("  include:\n", f"  include:\n    - {cell}\n"))
    return sha256


@pytest.fixture
def alone(checkout: Checkout, empty_cache: Callable[[], Path]) -> Checkout:
    """With downloads and root file systems of its own, so that no other test meets this toolchain."""
    cache = empty_cache()
    for shared in ("downloads", "stages/rootfs"):
        made_own(cache / shared)
    return replace(checkout, cache=cache)


def test_a_toolchain_from_a_tarball_builds_and_boots(alone: Checkout, server: Mirror, tarball: Path) -> None:
    sha256 = use(alone, server, tarball)
    kernel = fake_kernel(alone.folder.parent / "fakelinux")
    done = alone.doit(f"cell:{CELL}", f"kernel={kernel}")
    assert done.code == 0, done.err
    result = alone.result(CELL)
    assert result["verdict"]["status"] == "pass"
    recipes = {stage["task"]: stage["recipe"] for stage in result["stages"]}
    assert recipes["rootfs:kbuild+crosstool"]["inputs"]["tarball crosstool"] == sha256
    assert f"CROSS_COMPILE=/usr/local/crosstool/bin/{TARGET}-" in recipes[f"compile:{CELL}"]["argv"][0]
    asked = len(server.requests)
    assert alone.doit("rootfs:kbuild+crosstool", f"kernel={kernel}").code == 0
    assert len(server.requests) == asked


def test_a_tarball_that_is_another_is_never_unpacked(alone: Checkout, server: Mirror, tarball: Path) -> None:
    use(alone, server, tarball)
    server.serve("/crosstool.tar", b"another" * 1000)
    before = set((alone.cache / "stages" / "rootfs").iterdir())
    done = alone.doit("rootfs:kbuild+crosstool")
    assert done.code == 3
    assert "crosstool.tar cannot be fetched" in done.err
    assert "not what was locked" in done.err
    assert set((alone.cache / "stages" / "rootfs").iterdir()) == before
