"""A mirror that no longer has what a lock names: real apt and the real mirror, with the emulator's lock edited."""

import json
import re
from pathlib import Path

import pytest

from tests.checkout import Checkout, fake_kernel


@pytest.fixture
def outdated(checkout: Checkout) -> Checkout:
    """A checkout whose lock names a package that nobody has."""
    path = checkout.folder / "toolchains" / "qemu.lock"
    lock = json.loads(path.read_text())
    lock["packages"][0] |= {"sha256": "0" * 64, "path": "pool/main/g/gone/gone_1_amd64.deb"}
    path.write_text(json.dumps(lock))
    return checkout


def test_the_run_resolves_anew_says_so_and_goes_on(outdated: Checkout) -> None:
    before = (outdated.folder / "toolchains" / "qemu.lock").read_text()
    done = outdated.doit("rootfs:qemu")
    assert done.code == 0, done.err
    assert "THE LOCKS ARE OUTDATED" in done.err
    assert "pool/main/g/gone" in done.err
    assert (outdated.folder / "toolchains" / "qemu.lock").read_text() == before
    temporary = json.loads((outdated.folder / "build" / "unlocked" / "qemu.lock").read_text())
    assert all(package["sha256"] != "0" * 64 for package in temporary["packages"])
    again = outdated.doit("rootfs:qemu")
    assert (again.code, "OUTDATED" in again.err) == (0, False)


def test_only_what_is_outdated_is_resolved_anew(outdated: Checkout) -> None:
    """The other locks stay in force, byte for byte, and so do their root file systems and digests."""
    done = outdated.doit("rootfs:qemu")
    assert done.code == 0, done.err
    assert "qemu: " in done.err
    assert "gcc-14: " not in done.err
    for path in (outdated.folder / "toolchains").glob("*.lock"):
        temporary = json.loads((outdated.folder / "build" / "unlocked" / path.name).read_text())
        assert (temporary == json.loads(path.read_text())) == (path.name != "qemu.lock"), path.name


def test_results_with_temporary_locks_say_so_and_are_not_compared(outdated: Checkout) -> None:
    """Digests that were recorded with the locks mean nothing for what is built without them."""
    kernel = fake_kernel(outdated.folder.parent / "fakelinux")
    cell = "le-minimal-gcc-14-fakelinux"
    path = outdated.folder / "pipeline.lock"
    artifacts = {cell: {"inputs": "0" * 64, "sha256": {"vmlinux": "0" * 64}}}
    path.write_text(json.dumps({**json.loads(path.read_text()), "artifacts": artifacts}))
    done = outdated.doit(f"cell:{cell}", f"kernel={kernel}")
    assert done.code == 0, done.err
    result = outdated.result(cell)
    assert result["unlocked"] is True
    checks = {check["name"]: check for check in result["verdict"]["checks"]}
    assert checks["artifacts.digest"]["status"] == "skip"
    assert "temporary locks" in checks["artifacts.digest"]["evidence"]
    again = outdated.doit(f"cell:{cell}", f"kernel={kernel}")
    assert again.code == 0, again.err
    for run in (done, again):
        assert re.search(rf"^{cell} +pass, unlocked ", run.out, re.MULTILINE)
        assert "unlocked: temporary locks stand in for outdated ones, and no digest was compared" in run.out
    assert "TEMPORARY LOCKS STAND IN" in again.err


def test_locked_stops_and_says_what_to_type(outdated: Checkout) -> None:
    done = outdated.doit("rootfs:qemu", "locked=1")
    assert done.code == 3
    assert "no mirror has pool/main/g/gone" in done.err
    assert "./doit lock" in done.err
    assert not Path(outdated.folder / "build" / "unlocked").exists()
