"""A mirror that no longer has what a lock names: real apt and the real mirror, with the emulator's lock edited."""

import json
from pathlib import Path

import pytest

from tests.checkout import Checkout


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


def test_locked_stops_and_says_what_to_type(outdated: Checkout) -> None:
    done = outdated.doit("rootfs:qemu", "locked=1")
    assert done.code == 3
    assert "no mirror has pool/main/g/gone" in done.err
    assert "./doit lock" in done.err
    assert not Path(outdated.folder / "build" / "unlocked").exists()
