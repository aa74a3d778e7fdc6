"""Two cells side by side: never more compilers than jobs, counted by a compiler that counts itself; and a compiler
that no make runs."""

import os
from pathlib import Path

from oolong.audit.rules import PROBED
from oolong.engine.stage import Work
from oolong.host.jobserver import serving
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.kbuild import make as kbuild
from oolong.run.project import Request, open_project
from oolong.stages import audit_object
from oolong.stages.outputs import ROOT, TREE
from tests import counting, crosstool
from tests.checkout import Checkout, fake_kernel
from tests.crosstool import BE, LE
from tests.loopback import Mirror
from tests.support import CHECKOUT, folder_as, silent

JOBS = 2
LOG = "compilers"


def test_two_cells_side_by_side_never_run_more_compilers_than_jobs(
    alone: Checkout, server: Mirror, tmp_path: Path
) -> None:
    # the folder of ccache is what the sandboxes of all builds share
    compiler = counting.counted('"$0-real" "$@"', log=f"/ccache/{LOG}", meeting=JOBS)
    # what assembles the stubs for a comparison has no ccache, and no more than one runs in a slot
    compiler = compiler.replace("#!/bin/sh\n", '#!/bin/sh\n[ -d /ccache ] || exec "$0-real" "$@"\n')
    tarball = crosstool.pack(tmp_path / "crosstool.tar", [LE, BE], wrapper=compiler)
    crosstool.use(alone, server, tarball, {"le": LE, "be": BE})
    kernel = fake_kernel(tmp_path / "fakelinux")
    cells = [f"cell:{endian}-minimal-crosstool-fakelinux" for endian in ("le", "be")]
    done = alone.doit("-n", "2", f"jobs={JOBS}", f"kernel={kernel}", *cells)
    assert done.code == 0, done.err
    assert counting.most_at_once(alone.layout.untrusted_ccache / LOG) == JOBS


def test_the_look_at_the_compiler_is_a_job_while_it_lasts(tmp_path: Path) -> None:
    tools = tmp_path / "source" / kbuild.TOOLS
    tools.mkdir(parents=True)
    (tools / kbuild.PROBES[0]).write_text("echo compiling\n")
    layout = Layout(checkout=CHECKOUT, cache=tmp_path / "cache")
    project = open_project(Request(set="smoke"), layout)
    cell = project.cells[0]
    (stage,) = (one for one in project.chain(cell) if one.name == "audit-object")
    tokens = []
    with serving(1) as jobserver:
        work = Work(
            stage=stage,
            folder=tmp_path,
            inputs={"rootfs": folder_as(ROOT, Path("/")), "source": folder_as(TREE, tmp_path / "source")},
            log=tmp_path / "log",
            progress=silent,
            listener=lambda line: tokens.append((line, left(jobserver.fifo))),
            layout=layout,
            jobserver=jobserver,
            scope=Scope(),
        )
        audit_object.probe(cell, {PROBED: "y"}, work)
        assert tokens == [("compiling", 0)]
        assert left(jobserver.fifo) == 1


def left(fifo: Path) -> int:
    """How many jobs nobody has; they stay."""
    descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        found = os.read(descriptor, 100)
        os.write(descriptor, found)
        return len(found)
    except BlockingIOError:
        return 0
    finally:
        os.close(descriptor)
