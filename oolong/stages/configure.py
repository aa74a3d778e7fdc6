"""The stage `configure`: fragments → .config, and every symbol that was asked for checked in it."""

from functools import partial
from pathlib import Path

from oolong.engine.stage import Outcome, Recipe, Stage, Work, failed
from oolong.errors import BadInput
from oolong.host.digest import digest_of
from oolong.host.files import text_of, write_atomically
from oolong.host.sandbox import Mount
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.kbuild.config_why import explain
from oolong.kbuild.log import culprits
from oolong.spec.model import Cell
from oolong.stages.sandboxed import build_sandbox, run

TREE, DOT_CONFIG = "tree", ".config"


def stage(cell: Cell, *, rootfs: Stage, source: Stage, configure_digest: str) -> Stage:
    """`configure_digest` covers the files of the source that Kconfig can see, so that an edit elsewhere in the
    tree needs no new configuration."""
    request, base = requested(cell), _base_text(cell)
    recipe = Recipe(
        stage="configure",
        argv=kbuild.configure(cell),
        env=kbuild.FIXED_ENV,
        inputs={
            "rootfs": rootfs.recipe.digest,
            "source": configure_digest,
            "base": digest_of(base),
            "request": digest_of(list(request.items())),
            "required": digest_of([*map(list, cell.config.required), *cell.config.optional]),
        },
    )
    return Stage(
        subject=cell.name, recipe=recipe, needs=(rootfs, source), work=partial(_work, cell, recipe, request, base)
    )


def requested(cell: Cell) -> dict[str, str]:
    """Symbol (without CONFIG_) → value, merged from the cell's fragments; a later fragment wins."""
    fragments = [kconfig.parse(_read(path), where=path.name) for path in cell.config.fragments]
    return kconfig.merge(*fragments, kconfig.parse(kbuild.FIXED_CONFIG, where="fixed"))


def _work(cell: Cell, recipe: Recipe, request: dict[str, str], base: str | None, work: Work) -> Outcome:
    build = work.folder / TREE
    build.mkdir()
    asked = work.folder / "requested.config"
    asked.write_text(kconfig.render(request))
    source = work.need("source")
    sandbox = build_sandbox(
        work,
        rootfs=work.need("rootfs"),
        source=source,
        build=build,
        mounts=(Mount(host=work.folder, inside=kbuild.REQUEST),),
        env=dict(recipe.env),
    )
    if base is not None:
        _write_config(build, kconfig.apply(base, request))
    for position, argv in enumerate(recipe.argv):
        if position > 0:
            _write_config(build, kconfig.apply(text_of(build, DOT_CONFIG), request))
        done = run(work, sandbox, argv)
        if not done.ok:
            return failed("build", culprits(done.lines))
    try:
        final = kconfig.parse(text_of(build, DOT_CONFIG), where=DOT_CONFIG)
    except BadInput as error:
        # the tree's own make wrote it
        return failed("build", (str(error),))
    asserted = {symbol: value for symbol, value in request.items() if symbol not in cell.config.optional}
    drifts = kconfig.drift(asserted, dict(cell.config.required), final)
    artifacts = {"config": f"{TREE}/.config"}
    if drifts:
        explained = explain(source.folder / "tree", drifts, final)
        lines = tuple(line for drift in explained for line in drift.lines())
        return failed("config-drift", lines, artifacts=artifacts)
    return Outcome(artifacts=artifacts, data={"symbols": len(asserted) + len(cell.config.required)})


def _write_config(build: Path, text: str) -> None:
    """In the place of whatever lies there, which the tree's own Makefile may have made."""
    write_atomically(build / DOT_CONFIG, text.encode())


def _base_text(cell: Cell) -> str | None:
    return None if isinstance(cell.config.base, str) else _read(cell.config.base)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read this configuration: {error}", where=str(path)) from error
