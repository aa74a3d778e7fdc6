"""Cells → the stages of each, chained by their recipes: the whole picture as data, nothing run.

rootfs ─┬─ configure ─ compile ─┬─ audit-object
source ─┘                       ├─ stubs ─ link ─ audit-image ─┐
                                ├─ modules ─ initramfs ────────┼─ boot ─ live
                                └─ offsets ────────────────────┘

(tree, after link: part of a cell whose kernel is in the making, and apart from any other, for who asks.)
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from oolong.engine.stage import Stage
from oolong.errors import BadInput
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.machine import guest
from oolong.spec import lock
from oolong.spec.model import Cell, DirSource, GitSource, KernelSource, PatchedSource, Spec, Toolchain
from oolong.stages import (
    audit_image,
    audit_object,
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
)
from oolong.stages import tree as tried_tree

# kernels in the making: how their trees build the stubs is tried with every cell of theirs
IN_THE_MAKING = DirSource, GitSource, PatchedSource


@dataclass(frozen=True, slots=True, kw_only=True)
class _Build:
    """The stages that see no machine: those of a build, with what it is made from, in the order of the work, and those
    among them that a boot needs; those `apart` are made for who asks for them."""

    stages: tuple[Stage, ...]
    apart: tuple[Stage, ...]
    compiled: Stage
    linked: Stage
    laid_out: Stage
    initramfs: Stage


class Pipeline:
    """All stages of some cells. Reads the locks and, for trees of one's own, the state of the tree."""

    def __init__(self, layout: Layout, spec: Spec, cells: Iterable[Cell], *, scope: Scope | None = None) -> None:
        self._scope = scope
        self._layout = layout
        self._spec = spec
        self._rootfs: dict[str, Stage] = {}
        self._sources: dict[str, source.Identified] = {}
        self._builds: dict[str, _Build] = {}
        self._cells = {cell.name: cell for cell in cells}
        self._linked_both = {cell.build for cell in self._cells.values() if cell.link_both}

    @cached_property
    def cell_stage_names(self) -> tuple[str, ...]:
        """The stages of cells and their builds, in the order of the work."""
        own = {name for cell in self._cells.values() for name in (cell.name, cell.build)}
        every = self._once(self.of_cell)
        return tuple(dict.fromkeys(stage.name for stage in every if stage.subject in own))

    def stages(self) -> list[Stage]:
        """Every stage once, those apart too; toolchains and sources first."""
        return self._once(self.all_of_cell)

    def _once(self, of_cell: Callable[[str], Iterable[Stage]]) -> list[Stage]:
        found = {stage.task: stage for name in self._cells for stage in of_cell(name)}
        return sorted(found.values(), key=lambda stage: stage.name not in ("rootfs", "source"))

    def of_cell(self, name: str) -> tuple[Stage, ...]:
        """The stages of one cell, those it shares with others included, each after what it needs."""
        return self._chains[name]

    def all_of_cell(self, name: str) -> tuple[Stage, ...]:
        """The same with the stages of its build that are apart from it."""
        return with_needs((*self.of_cell(name), *self._build_of(self._cells[name]).apart))

    @cached_property
    def _chains(self) -> dict[str, tuple[Stage, ...]]:
        return {name: self._chain(cell) for name, cell in self._cells.items()}

    def _chain(self, cell: Cell) -> tuple[Stage, ...]:
        build = self._build_of(cell)
        booted = boot.stage(
            cell,
            emulator=self._rootfs_of(self._spec.toolchain(cell.machine.emulator)),
            compiled=build.compiled,
            linked=build.linked,
            laid_out=build.laid_out,
            initramfs=build.initramfs,
        )
        examined = live.stage(
            cell, compiled=build.compiled, linked=build.linked, laid_out=build.laid_out, booted=booted
        )
        return with_needs((*build.stages, booted, examined))

    def _build_of(self, cell: Cell) -> _Build:
        if cell.build not in self._builds:
            self._builds[cell.build] = self._build(cell)
        return self._builds[cell.build]

    def _build(self, cell: Cell) -> _Build:
        tools = self._rootfs_of(self._host, cell.toolchain)
        tree = self._source_of(cell.kernel, tools)
        configured = configure.stage(
            cell,
            rootfs=tools,
            source=tree.stage,
            configure_digest=tree.configure_digest,
            vouched=cell.config.name in {config.name for config in self._spec.configs},
        )
        compiled = compile.stage(cell, rootfs=tools, source=tree.stage, configure=configured)
        counted = stubs.stage(
            cell, rootfs=tools, source=tree.stage, compiled=compiled, template=self._layout.stub_template
        )
        checked = audit_object.stage(cell, rootfs=tools, source=tree.stage, compiled=compiled, counted=counted)
        laid_out = offsets.stage(cell, rootfs=tools, source=tree.stage, configure=configured, compiled=compiled)
        to_link = link.Needs(rootfs=tools, source=tree.stage, configure=configured, compile=compiled, stubs=counted)
        linked = link.link(cell, to_link)
        audited = audit_image.stage(
            cell,
            rootfs=tools,
            source=tree.stage,
            compiled=compiled,
            checked=checked,
            linked=linked,
            laid_out=laid_out,
        )
        tried = tried_tree.stage(
            cell,
            rootfs=tools,
            source=tree.stage,
            stubs_digest=tree.stubs_digest,
            compiled=compiled,
            linked=linked,
        )
        others = [link.crosslink(cell, to_link)] if cell.build in self._linked_both else []
        built = None
        if cell.config.modules:
            own = self._layout.guest / guest.OWN_MODULES_SOURCE
            built = modules.stage(cell, rootfs=tools, source=tree.stage, compiled=compiled, folder=own)
            others.append(built)
        is_own = isinstance(cell.kernel, IN_THE_MAKING)
        others += [tried] if is_own else []
        packed = initramfs.stage(
            cell,
            rootfs=tools,
            source=tree.stage,
            guest_digest=tree.guest_digest,
            modules=built,
            folder=self._layout.guest,
        )
        chain = (configured, compiled, counted, checked, laid_out, linked, audited, *others, packed)
        return _Build(
            stages=chain,
            apart=() if is_own else (tried,),
            compiled=compiled,
            linked=linked,
            laid_out=laid_out,
            initramfs=packed,
        )

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

    def _source_of(self, kernel: KernelSource, tools: Stage) -> source.Identified:
        if kernel.name not in self._sources:
            self._sources[kernel.name] = source.identified(
                kernel, layout=self._layout, rootfs=tools, verifier=self._verifier, scope=self._scope
            )
        return self._sources[kernel.name]


def with_needs(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages and all that they need, each after what it needs."""
    found: dict[str, Stage] = {}
    for stage in stages:
        _add(stage, found)
    return tuple(found.values())


def _add(stage: Stage, found: dict[str, Stage]) -> None:
    if stage.task not in found:
        for need in stage.needs:
            _add(need, found)
        found[stage.task] = stage
