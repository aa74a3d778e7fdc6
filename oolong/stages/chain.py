"""Cells → the stages of each, chained by their recipes: the whole picture as data, nothing run.

rootfs ─┬─ configure ─ compile ─┬─ stubs ─ link ────────┬─ boot ─ verdict
source ─┘                       ├─ modules ─ initramfs ─┘
                                └─ offsets
audit-object looks at what compile and stubs made, audit-image at what link made, live at what boot left.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from oolong.engine.stage import Stage
from oolong.errors import BadInput
from oolong.host.layout import Layout
from oolong.machine import guest
from oolong.spec import lock
from oolong.spec.model import Cell, KernelSource, Spec, Toolchain
from oolong.stages import (
    audit,
    boot,
    compile,
    configure,
    initramfs,
    link,
    live,
    modules,
    offsets,
    rootfs,
    source,
    stubs,
    verdict,
)
from oolong.verdict import known_issues_yaml
from oolong.verdict.known_issues import KnownIssue


class Pipeline:
    """All stages of some cells. Reads the locks and, for trees of one's own, the state of the tree."""

    def __init__(self, layout: Layout, spec: Spec, cells: Sequence[Cell]) -> None:
        self._layout = layout
        self._spec = spec
        self._rootfs: dict[str, Stage] = {}
        self._sources: dict[str, source.Identified] = {}
        self._cells = {cell.name: cell for cell in cells}

    @property
    def cell_names(self) -> frozenset[str]:
        return frozenset(self._cells)

    @cached_property
    def cell_stage_names(self) -> tuple[str, ...]:
        """The stages of cells, in the order of the work."""
        return tuple(dict.fromkeys(stage.name for stage in self.stages() if stage.subject in self._cells))

    def stages(self) -> list[Stage]:
        """Every stage once, what cells share first."""
        found = {stage.task: stage for name in self._cells for stage in self.of_cell(name)}
        return sorted(found.values(), key=lambda stage: stage.subject in self._cells)

    def of_cell(self, name: str) -> tuple[Stage, ...]:
        """The stages of one cell, those it shares with others included, each after what it needs."""
        return self._chains[name]

    @cached_property
    def _chains(self) -> dict[str, tuple[Stage, ...]]:
        return {name: _with_needs(self._chain(cell)) for name, cell in self._cells.items()}

    def _chain(self, cell: Cell) -> Iterator[Stage]:
        tools = self._rootfs_of(self._host, cell.toolchain)
        emulator = self._rootfs_of(self._spec.toolchain(cell.machine.emulator))
        tree = self._source_of(cell.kernel, tools)
        configured = configure.stage(cell, rootfs=tools, source=tree.stage, configure_digest=tree.configure_digest)
        compiled = compile.stage(cell, rootfs=tools, source=tree.stage, configure=configured)
        laid_out = offsets.stage(cell, rootfs=tools, source=tree.stage, configure=configured, compiled=compiled)
        counted = stubs.stage(
            cell, rootfs=tools, source=tree.stage, compiled=compiled, template=self._layout.stub_template
        )
        to_link = link.Needs(rootfs=tools, source=tree.stage, configure=configured, compile=compiled, stubs=counted)
        linked = link.link(cell, to_link)
        audited = audit.object_stage(cell, rootfs=tools, source=tree.stage, compiled=compiled, counted=counted)
        audited_image = audit.image_stage(
            cell,
            rootfs=tools,
            source=tree.stage,
            compiled=compiled,
            audited=audited,
            linked=linked,
            laid_out=laid_out,
        )
        chain = [tools, emulator, tree.stage, configured, compiled, laid_out, counted, audited, linked, audited_image]
        others: list[Stage] = []
        if cell.link_both:
            others.append(link.crosslink(cell, to_link))
        built = None
        if cell.config.modules:
            own = self._layout.guest / guest.OWN_MODULES_SOURCE
            built = modules.stage(cell, rootfs=tools, source=tree.stage, compiled=compiled, folder=own)
            others.append(built)
        packed = initramfs.stage(
            cell,
            rootfs=tools,
            source=tree.stage,
            guest_digest=tree.guest_digest,
            modules=built,
            folder=self._layout.guest,
        )
        booted = boot.stage(
            cell, emulator=emulator, compiled=compiled, linked=linked, laid_out=laid_out, initramfs=packed
        )
        examined = live.stage(cell, compiled=compiled, linked=linked, laid_out=laid_out, booted=booted)
        chain += [*others, packed, booted, examined]
        yield from chain
        unlocked = self._layout.temporary_locks is not None
        recorded = self._recorded.get(cell.name)
        yield verdict.stage(cell, tuple(chain), recorded=recorded, unlocked=unlocked, known=self.known_issues)

    @cached_property
    def known_issues(self) -> tuple[KnownIssue, ...]:
        """What known-issues.yaml says."""
        return known_issues_yaml.load(self._layout)

    @cached_property
    def _recorded(self) -> dict[str, lock.Recorded]:
        return lock.read_recorded(self._layout)

    @property
    def _host(self) -> Toolchain:
        """The tools of the build machine: make, its own compiler, flex, …"""
        return next(toolchain for toolchain in self._spec.toolchains if toolchain.family == "host")

    def _verifier(self) -> Stage:
        """What checks the signatures of archives: gpgv beside the host's tar and xz."""
        verifiers = [toolchain for toolchain in self._spec.toolchains if toolchain.family == "verifier"]
        if not verifiers:
            what = "a source has a signature, and no toolchain of the family 'verifier' checks it"
            raise BadInput(what, where="toolchains", hint="restore toolchains/gpgv.yaml")
        return self._rootfs_of(self._host, verifiers[0])

    def _rootfs_of(self, *toolchains: Toolchain) -> Stage:
        key = "+".join(toolchain.name for toolchain in toolchains)
        if key not in self._rootfs:
            self._rootfs[key] = rootfs.stage(
                toolchains, [lock.read_toolchain(self._layout, toolchain) for toolchain in toolchains]
            )
        return self._rootfs[key]

    def _source_of(self, kernel: KernelSource, tools: Stage) -> "source.Identified":
        if kernel.name not in self._sources:
            self._sources[kernel.name] = source.identified(
                kernel, layout=self._layout, rootfs=tools, verifier=self._verifier
            )
        return self._sources[kernel.name]


def _with_needs(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages and all that they need, each after what it needs."""
    found: dict[str, Stage] = {}
    for stage in stages:
        for needed in (*_with_needs(stage.needs), stage):
            found.setdefault(needed.task, needed)
    return tuple(found.values())
