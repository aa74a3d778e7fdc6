"""Over a thousand mutants of both kernels' images and memory: none of them passes the audit."""

from random import Random

import pytest

from oolong.audit import image as vmlinux
from oolong.audit.image_checks import Known
from oolong.binary import structs
from oolong.kbuild import config as kconfig
from oolong.machine import memory
from oolong.stubs import counting
from tests import mutants
from tests.e2e.conftest import BE, LE, Smoke
from tests.mutants import Kernel, Outcome

pytestmark = pytest.mark.e2e
SEED = 7


def test_no_mutant_passes_the_audit(smoke: Smoke) -> None:
    outcomes: list[Outcome] = []
    for cell in (LE, BE):
        kernel, draw = kernel_of(smoke, cell), Random(SEED)
        outcomes += mutants.live_outcomes(kernel, draw)
        outcomes += mutants.image_outcomes(kernel, draw)
        outcomes += mutants.raw_outcomes(kernel)
    print(f"\n{mutants.told(outcomes)}")
    assert [(one.kind, one.what) for one in outcomes if not one.by] == []
    assert len(outcomes) >= 1000


def kernel_of(smoke: Smoke, cell: str) -> Kernel:
    """What the run left of a kernel in the cache."""
    digests = {stage["stage"]: stage["digest"] for stage in smoke.checkout.result(cell)["stages"]}
    folder = {stage: smoke.checkout.stages / stage / digest for stage, digest in digests.items()}
    results = smoke.checkout.folder / "build" / "results" / cell
    laid_out = structs.load(folder["offsets"] / "offsets.json")
    image = vmlinux.read(folder["link"] / "vmlinux")
    known = Known(
        plan=counting.plan(counting.read_sites(results / "vmlinux.o"), image.areas[counting.RESERVED].stubs),
        config=kconfig.parse((results / ".config").read_text(), where=".config"),
        max_offset=laid_out.constant("FTRACE_MCOUNT_MAX_OFFSET"),
    )
    snapshots = {one.name: one for one in memory.load(folder["boot"] / "memory")}
    return Kernel(image=image, offsets=laid_out, snapshots=snapshots, known=known)
