"""Two cells side by side: never more compilers than jobs, counted by a compiler that counts itself."""

from pathlib import Path

from tests import counting, crosstool
from tests.checkout import Checkout, fake_kernel
from tests.crosstool import BE, LE
from tests.loopback import Mirror

JOBS = 2
LOG = "compilers"


def test_two_cells_side_by_side_never_run_more_compilers_than_jobs(
    alone: Checkout, server: Mirror, tmp_path: Path
) -> None:
    # the folder of ccache is what the sandboxes of all builds share
    compiler = counting.counted('"$0-real" "$@"', log=f"/ccache/{LOG}", meeting=JOBS)
    tarball = crosstool.pack(tmp_path / "crosstool.tar", [LE, BE], wrapper=compiler)
    crosstool.use(alone, server, tarball, {"le": LE, "be": BE})
    kernel = fake_kernel(tmp_path / "fakelinux")
    cells = [f"cell:{endian}-minimal-crosstool-fakelinux" for endian in ("le", "be")]
    done = alone.doit("-n", "2", f"jobs={JOBS}", f"kernel={kernel}", *cells)
    assert done.code == 0, done.err
    assert counting.most_at_once(alone.cache / "ccache" / LOG) == JOBS
