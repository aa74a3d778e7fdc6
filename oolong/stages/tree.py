"""The stage `tree`: how the tree builds the stubs, tried on a copy of the object tree: what the tree.* checks judge.

The kernel is linked by the tree's own rule, again with nothing changed, and after an edit of the script; the script is
run alone; then the copy becomes a kernel without modules, one of 32 bits, and is cleaned. It ends well whatever the
checks say: the verdict judges them.
"""

import shlex
from collections.abc import Sequence
from functools import partial

from oolong.audit.registry import OFF
from oolong.audit.tree_checks import EMPTY, TOOLS, TREE, Seen, Tried
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, Work, failed
from oolong.errors import Kind
from oolong.host.sandbox import SRC
from oolong.kbuild import make as kbuild
from oolong.kbuild import rules
from oolong.kbuild.log import causes, culprits
from oolong.spec.model import OUT_OF_LINE, Cell
from oolong.stages import outputs
from oolong.stages.audited import Config, audited, where_audited
from oolong.stages.building import build_failed
from oolong.stages.limited import limited
from oolong.stages.outputs import CONFIG, OBJECTS, ROOT, VMLINUX
from oolong.stages.trial import ALONE, EMPTIED, LYING, VIEW, Trial, assembled, object_of

LINK_MAKEFILE = "scripts/Makefile.vmlinux"
# the value of CONFIG_64BIT
SET = "y"
WITHOUT_RULES = "this tree has no scripts/Makefile.vmlinux, and so none of the rules that are judged"
NOTHING_MADE = f"make vmlinux made no .S in {TOOLS}"


def stage(cell: Cell, *, rootfs: Stage, source: Stage, stubs_digest: str, compiled: Stage, linked: Stage) -> Stage:
    """`stubs_digest` is that of the part of the source that decides: an edit elsewhere changes how many patch sites
    there are, not how their stubs are built."""
    recipe = Recipe(
        stage="tree",
        argv=(
            kbuild.told_link(cell, traced=True),
            kbuild.told_link(cell),
            *kbuild.without_modules(cell),
            *kbuild.narrow(cell),
            kbuild.link_rules(),
            kbuild.clean(cell),
            *(assembled(cell, area) for area in EMPTY),
        ),
        sandbox=VIEW.as_json(),
        code=code_digest(__name__),
    )
    inputs = (
        Input(role="rootfs", stage=rootfs, output=ROOT),
        Input(role="source", stage=source, output=outputs.TREE, digest=stubs_digest),
        # what is asked of them follows from the rest
        Input(role="compile", stage=compiled, output=OBJECTS, decides=False),
        Input(role="config", stage=compiled, output=CONFIG),
        # a kernel that does not link has nothing to be tried
        Input(role="link", stage=linked, output=VMLINUX, decides=False),
    )
    return Stage(subject=cell.build, base=recipe, inputs=inputs, work=partial(_work, cell))


@limited
@where_audited(TREE.skipped)
def _work(cell: Cell, work: Work, config: Config) -> Outcome:
    source = work.path("source")
    if config.get(OUT_OF_LINE) != "y":
        return audited(work, TREE.skipped(OFF))
    if not (source / LINK_MAKEFILE).is_file():
        return audited(work, TREE.skipped(WITHOUT_RULES))
    trial = Trial(cell, work)
    places: dict[str, list[str]] = {}

    def see(line: str) -> None:
        if found := rules.traced(line, SRC):
            target, makefile = found
            places.setdefault(target, []).append(makefile)

    done = trial.run(kbuild.told_link(cell, traced=True), on_line=see)
    if not done.ok:
        return build_failed(trial.work, done)
    generated = next((name for name in places if name.startswith(TOOLS) and name.endswith(".S")), None)
    if generated is None or not trial.stands(generated):
        return failed(Kind.STUB_AUDIT, (NOTHING_MADE,), blocks=False)
    made_by = places.get(object_of(generated), ())
    return _judged(trial, generated, [place for place in made_by if place != LINK_MAKEFILE], config)


def _judged(trial: Trial, generated: str, places: Sequence[str], config: Config) -> Outcome:
    """The checks, from the first link on."""
    cell, watched = trial.cell, (generated, object_of(generated), VMLINUX)
    called, source = trial.calls > 0, trial.built(generated)
    command = trial.saved(generated)
    before = trial.stamps(watched)
    if not (done := trial.run(kbuild.told_link(cell))).ok:
        return build_failed(trial.work, done)
    repeated = trial.made_since(before)
    alone, lying, emptied = _alone(trial, generated, command)
    empty = {area: trial.on_one_site(area, generated, command) for area in EMPTY}
    wide = trial.link_needs()
    before = trial.stamps(watched)
    if not (done := trial.run(kbuild.told_link(cell), edited=True)).ok:
        return build_failed(trial.work, done)
    made = trial.made_since(before)
    without = _without_modules(trial) if config.get("MODULES") == "y" else None
    for argv in kbuild.narrow(cell):
        if not (done := trial.run(argv)).ok:
            return build_failed(trial.work, done)
    narrow, narrow_config = trial.link_needs(), trial.config
    if not (done := trial.run(kbuild.clean(cell))).ok:
        return build_failed(trial.work, done)
    seen = Seen(
        kconfig=trial.kconfig,
        generated=generated,
        source=source or "",
        places=tuple(dict.fromkeys(places)),
        command=command,
        called=called,
        repeated=repeated,
        kept=[name for name in watched if name not in made],
        left=[name for name in watched if name != VMLINUX and trial.stands(name)],
        alone=alone,
        lying=lying,
        emptied=emptied,
        empty=empty,
        without_modules=without,
        wide=wide,
        narrow=narrow,
        narrow_config=narrow_config,
    )
    return audited(trial.work, TREE.run(seen), generated=generated, command=command)


def _alone(trial: Trial, generated: str, command: str) -> tuple[Tried, Tried, Tried | None]:
    """The saved command without the variables of make; with them, beside a configuration that lies; and with nothing
    in the place of the value of CONFIG_64BIT."""
    words = shlex.split(command)
    emptied = shlex.join("" if word == SET else word for word in words)
    return (
        trial.alone(ALONE, generated, command, {}),
        trial.alone(LYING, generated, command, trial.variables),
        trial.alone(EMPTIED, generated, emptied, trial.variables) if SET in words else None,
    )


def _without_modules(trial: Trial) -> list[str]:
    """What a build without modules said that failed."""
    for argv in kbuild.without_modules(trial.cell):
        done = trial.run(argv)
        if not done.ok:
            return list(causes(culprits(done.lines)))
    config = trial.config
    lost = {"MODULES": config.get("MODULES") != "y", OUT_OF_LINE: config.get(OUT_OF_LINE) == "y"}
    return [f"{symbol} did not come out as asked" for symbol, well in lost.items() if not well]
