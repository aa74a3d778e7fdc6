"""The stage `initramfs`: guest/ → a static init and the archive that the kernel unpacks; the same bytes each time."""

import hashlib
import json
from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Work, failed
from oolong.errors import Kind
from oolong.host.sandbox import BUILD, SRC
from oolong.kbuild.log import culprits
from oolong.machine import guest
from oolong.spec.model import Cell
from oolong.stages.building import build_failed, build_sandbox, build_view
from oolong.stages.limited import limited, run
from oolong.stages.outputs import INITRAMFS, MODULES, ORDER, ROOT, TREE


def stage(cell: Cell, *, rootfs: Stage, source: Stage, guest_digest: str, modules: Stage | None, folder: Path) -> Stage:
    """`guest_digest` covers what init is built from in the kernel's tree, so that an edit elsewhere needs no new
    archive; `folder` is guest/."""
    init = (folder / guest.INIT_SOURCE).read_bytes()
    view = build_view(guest.GUEST, *([guest.MODULES] if modules else []))
    recipe = Recipe(
        stage="initramfs",
        argv=(*guest.commands(cell), guest.pack()),
        sandbox=view.as_json(),
        inputs={"init": hashlib.sha256(init).hexdigest()},
        code=code_digest(__name__),
    )
    inputs = [
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=TREE, digest=guest_digest),
    ]
    if modules:
        inputs += [
            Input(role="modules", stage=modules, output=MODULES),
            Input(role="order", stage=modules, output=ORDER),
        ]
    return Stage(subject=cell.build, base=recipe, inputs=tuple(inputs), work=partial(_work, cell, init))


@limited
def _work(cell: Cell, init: bytes, work: Work) -> Outcome:
    build = work.folder / "build"
    out = build / "out"
    out.mkdir(parents=True)
    sources = work.folder / "guest"
    sources.mkdir()
    (sources / guest.INIT_SOURCE).write_bytes(init)
    hosts = {SRC: work.path("source"), BUILD: build, guest.GUEST: sources}
    modules: list[str] = []
    if "modules" in work.inputs:
        modules = json.loads(work.path("order").read_bytes())
        hosts[guest.MODULES] = work.path("modules")
    (out / "contents").write_text(guest.contents(modules))
    (out / "modules.list").write_text(guest.modules_list(modules))
    sandbox = build_sandbox(work, build_view(*(place for place in hosts if place not in (SRC, BUILD))), hosts)
    *commands, packing = work.stage.recipe.argv
    for command in commands:
        done = run(work, sandbox, command, timeout=cell.build_timeout)
        if not done.ok:
            return build_failed(work, done)
    archive = work.folder / INITRAMFS
    with archive.open("wb") as sink:
        done = run(work, sandbox, packing, timeout=cell.build_timeout, on_output=sink.write)
    if not done.ok or archive.stat().st_size == 0:
        return failed(Kind.BUILD, culprits(done.lines) or ("the guest's files cannot be packed",))
    return Outcome(artifacts={INITRAMFS: INITRAMFS})
