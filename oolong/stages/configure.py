"""The stage `configure`: fragments → .config, and every symbol that was asked for checked in it."""

from functools import partial
from pathlib import Path

from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Tree, Work, failed
from oolong.errors import BadInput, Kind
from oolong.host.digest import digest_of
from oolong.host.files import text_of, write_atomically
from oolong.host.sandbox import BUILD, SRC
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.kbuild.config_why import explain
from oolong.spec.model import Cell
from oolong.stages.building import build_failed, build_sandbox, build_view
from oolong.stages.limited import limited, run
from oolong.stages.outputs import CONFIG, PREPARED, ROOT, TREE

FOLDER, DOT_CONFIG = "tree", ".config"
VIEW = build_view(kbuild.REQUEST)


def stage(cell: Cell, *, rootfs: Stage, source: Stage, configure_digest: str, vouched: bool) -> Stage:
    """`configure_digest` covers the files of the source that Kconfig can see, so that an edit elsewhere in the
    tree needs no new configuration. The config is `vouched` for if it is the checkout's own: make expands the strings
    of a .config, so one from elsewhere can run programs."""
    request, base = requested(cell), _base_text(cell)
    recipe = Recipe(
        stage="configure",
        argv=kbuild.configure(cell),
        sandbox=VIEW.as_json(),
        inputs={
            "base": digest_of(base),
            "request": digest_of(list(request.items())),
            "required": digest_of([*map(list, cell.config.required), *cell.config.optional]),
        },
        code=code_digest(__name__),
    )
    inputs = (
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=TREE, digest=configure_digest),
    )
    return Stage(
        subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell, request, base), vouched=vouched
    )


def requested(cell: Cell) -> dict[str, str]:
    """Symbol (without CONFIG_) → value, merged from the cell's fragments; a later fragment wins."""
    fragments = [kconfig.parse(_read(path), where=path.name) for path in cell.config.fragments]
    return kconfig.merge(*fragments, kconfig.parse(kbuild.FIXED_CONFIG, where="fixed"))


@limited
def _work(cell: Cell, request: dict[str, str], base: str | None, work: Work) -> Outcome:
    build, asked = work.folder / FOLDER, work.folder / "request"
    build.mkdir()
    asked.mkdir()
    (asked / kbuild.REQUESTED).write_text(kconfig.render(request))
    sandbox = build_sandbox(work, VIEW, {SRC: work.path("source"), BUILD: build, kbuild.REQUEST: asked})
    if base is not None:
        _write_config(build, kconfig.apply(base, request))
    for position, argv in enumerate(work.stage.recipe.argv):
        if position > 0:
            _write_config(build, kconfig.apply(text_of(build, DOT_CONFIG), request))
        done = run(work, sandbox, argv, timeout=cell.build_timeout)
        if not done.ok:
            return build_failed(work, done)
    try:
        final = kconfig.parse(text_of(build, DOT_CONFIG), where=DOT_CONFIG)
    except BadInput as error:
        # the tree's own make wrote it
        return failed(Kind.BUILD, (str(error),))
    asserted = {symbol: value for symbol, value in request.items() if symbol not in cell.config.optional}
    drifts = kconfig.drift(asserted, dict(cell.config.required), final)
    artifacts = {CONFIG: f"{FOLDER}/{DOT_CONFIG}"}
    if drifts:
        explained = explain(work.path("source"), drifts, final)
        lines = tuple(line for drift in explained for line in drift.lines())
        return failed(Kind.CONFIG_DRIFT, lines, artifacts=artifacts)
    data = {"symbols": len(asserted) + len(cell.config.required)}
    return Outcome(artifacts=artifacts, trees={PREPARED: Tree(path=FOLDER)}, data=data)


def _write_config(build: Path, text: str) -> None:
    """In the place of whatever lies there, which the tree's own Makefile may have made."""
    write_atomically(build / DOT_CONFIG, text.encode())


def _base_text(cell: Cell) -> str | None:
    return None if isinstance(cell.config.base, str) else _read(cell.config.base)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read this configuration: {error}", where=str(path)) from error
