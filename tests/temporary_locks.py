"""A checkout whose locks name what no mirror had."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

from oolong.host.layout import Layout
from oolong.spec import lock, pipeline_yaml
from oolong.spec.model import Package
from oolong.supply.relock import ABSENT
from tests.support import CHECKOUT

CONTENT = b"a package" * 100
PATH = "pool/main/g/gone/gone_1_amd64.deb"


def with_temporary_locks(place: Path) -> Layout:
    """A checkout whose lock of the emulator names a package that no mirror had: temporary locks stand in."""
    folder = place / "checkout"
    for name in ("configs", "toolchains"):
        shutil.copytree(CHECKOUT / name, folder / name)
    for name in ("pipeline.yaml", "pipeline.lock"):
        shutil.copy(CHECKOUT / name, folder / name)
    own = Layout(checkout=folder, cache=place / "cache")
    qemu = pipeline_yaml.load(own).toolchain("qemu")
    there = lock.read_toolchain(own, qemu)
    gone = Package(
        name="gone",
        version="1",
        arch="amd64",
        path=PATH,
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    lock.write_toolchain(own, replace(there, packages=(*there.packages, gone)))
    lock.stand_in(own, lambda elsewhere: lock.write_toolchain(elsewhere, there))
    (own.unlocked / ABSENT).write_text(json.dumps([PATH]))
    return lock.standing_in(own)
