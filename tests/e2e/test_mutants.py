"""Over a thousand mutants of both kernels' objects, images, memory and reports: none of them passes the audit."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from oolong.audit import guest_report, linker_script, object, static_checks
from oolong.audit import image as vmlinux
from oolong.audit.linked import Known
from oolong.audit.live_state import Live
from oolong.audit.survey import survey
from oolong.binary import structs
from oolong.host.files import text_of
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.machine import memory
from oolong.stubs import counting
from tests.e2e.conftest import BE, LE, Smoke
from tests.mutants import images, kernel_bytes, kernel_images, kernel_memory, objects, reports
from tests.mutants.equivalent import EQUIVALENT, LATER
from tests.mutants.kernel import Kernel
from tests.mutants.objects import Places
from tests.mutants.outcome import Outcome, noticed, told

pytestmark = pytest.mark.e2e
SEED = 7
# how many entries of vmlinux.o are changed, of each kind of change how many are looked at, how many entries are lost in
# the image, and of how many kinds a report is changed: tests/audit/test_mutants.py makes them all, of small kernels
PLACES = Places(entries=6, words=2)
EACH_OF_OBJECT, LOST_IN_IMAGE, OF_REPORT = 2, 4, 20


def test_no_mutant_passes_the_audit(smoke: Smoke) -> None:
    outcomes: list[Outcome] = []
    for cell in (LE, BE):
        kernel, draw = kernel_of(smoke, cell), Random(SEED)
        outcomes += kernel_memory.live_outcomes(kernel, draw)
        outcomes += kernel_images.image_outcomes(kernel, draw)
        outcomes += kernel_bytes.raw_outcomes(kernel)
    print(f"\n{told(outcomes)}")
    assert [(one.kind, one.what) for one in outcomes if not one.by] == []
    assert len(outcomes) >= 1000


def test_no_mutant_of_what_was_compiled_linked_or_said_passes_the_audit(smoke: Smoke) -> None:
    outcomes: list[Outcome] = []
    for cell in (LE, BE):
        kernel, draw = kernel_of(smoke, cell), Random(SEED)
        outcomes += of_object(smoke, cell, draw)
        outcomes += of_image(kernel, draw)
        outcomes += of_report(smoke, cell, kernel, draw)
    print(f"\n{told(outcomes)}")
    assert [(one.kind, one.what) for one in outcomes if not one.by and one.kind not in (*EQUIVALENT, *LATER)] == []
    made = {kind: sum(bool(one.by) for one in outcomes if one.kind.startswith(kind)) for kind in ("object", "guest")}
    assert made["object"] >= 50
    assert made["guest"] >= OF_REPORT


def of_object(smoke: Smoke, cell: str, draw: Random) -> Iterator[Outcome]:
    script = linker_script.parse(text_of(left(smoke, cell)["compile"] / "tree", kbuild.LINKER_SCRIPT), told="its own")
    found = object.read(smoke.checkout.folder / "build" / "results" / cell / "vmlinux.o")
    return objects.outcomes(found, draw, places=PLACES, script=script, each=EACH_OF_OBJECT)


def of_image(kernel: Kernel, draw: Random) -> Iterator[Outcome]:
    """Entries that are missing, with their nops left."""
    before = static_checks.image_checks(kernel.image, kernel.known)
    sites = draw.sample(kernel.image.sites, LOST_IN_IMAGE)
    for one in images.lost(kernel.image, kernel.known, iter(sites)):
        after = static_checks.image_checks(one.image, one.known)
        yield Outcome(f"image: {one.kind}", one.what, noticed(before, after))


def of_report(smoke: Smoke, cell: str, kernel: Kernel, draw: Random) -> Iterator[Outcome]:
    folder, config = left(smoke, cell)["boot"], kernel.known.config
    assert config is not None
    booted = json.loads((folder / "result.json").read_text())["data"]
    said = guest_report.told((folder / "guest-report").read_text(errors="replace"), booted, config)
    surveys = [survey(name, one, kernel.image, kernel.offsets) for name, one in kernel.snapshots.items()]
    live = Live(kernel.image, kernel.offsets, surveys, due=())
    return islice(reports.outcomes(live, said, draw, most=2, each=1), OF_REPORT)


def left(smoke: Smoke, cell: str) -> dict[str, Path]:
    """The folder of each stage in the cache."""
    digests = {stage["stage"]: stage["digest"] for stage in smoke.checkout.result(cell)["stages"]}
    return {stage: smoke.checkout.stages / stage / digest for stage, digest in digests.items()}


def kernel_of(smoke: Smoke, cell: str) -> Kernel:
    """What the run left of a kernel in the cache."""
    folder = left(smoke, cell)
    results = smoke.checkout.folder / "build" / "results" / cell
    laid_out = structs.load(folder["offsets"] / "offsets.json")
    image = vmlinux.read(folder["link"] / "vmlinux")
    known = Known(
        plan=counting.plan(counting.read_sites(results / "vmlinux.o"), image.areas[counting.RESERVED].stubs),
        config=kconfig.parse((results / ".config").read_text(), where=".config"),
        max_offset=laid_out.constant("FTRACE_MCOUNT_MAX_OFFSET"),
        untraced=object.read(results / "vmlinux.o").untraced,
    )
    snapshots = {one.name: one for one in memory.load(folder["boot"] / "memory")}
    return Kernel(image=image, offsets=laid_out, snapshots=snapshots, known=known)
