"""The matrix → ordered cells with unique names, and the choice of them by a set; pure.

Exclusions and inclusions mean what they mean in GitHub Actions' `strategy.matrix`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product

from oolong.errors import BadInput, did_you_mean
from oolong.spec.model import (
    OUT_OF_LINE,
    Cell,
    CellSet,
    Combination,
    Endian,
    Expect,
    KernelConfig,
    KernelSource,
    Machine,
    PatchedSource,
    Spec,
    StubPass,
    Toolchain,
)

# what FTRACE_STARTUP_TEST adds to this test's title where the architecture hands over no registers
REGS_TEST, UNSUPPORTED = "ftrace regs", "(no arch support)"
ENDIAN_SYMBOLS = {Endian.LE: "CPU_LITTLE_ENDIAN", Endian.BE: "CPU_BIG_ENDIAN"}


def combine(
    axes: Mapping[str, Sequence[str]],
    *,
    exclude: Sequence[Combination],
    include: Sequence[Combination],
    where: str,
) -> tuple[Combination, ...]:
    """The product of the axes, the last one fastest, after exclusions and then inclusions.

    An exclusion takes away what it matches in all that it names. An inclusion extends every combination of the
    product none of whose axis values it would change, and may change what an earlier one added; where there is no
    such combination it becomes one of its own, which later inclusions do not extend.
    (docs.github.com, "Workflow syntax", jobs.<job_id>.strategy.matrix.)
    """
    originals = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())] if axes else []
    kept = [original for original in originals if not any(_agrees(original, entry) for entry in exclude)]
    extended = [dict(original) for original in kept]
    added: list[Combination] = []
    for entry in include:
        on_axes = [(key, value) for key, value in entry.values if key in axes]
        extends = [index for index, original in enumerate(kept) if all(original[k] == v for k, v in on_axes)]
        for index in extends:
            extended[index].update(entry.values)
        if not extends:
            added.append(entry)
    return (*(Combination(values=tuple(values.items()), where=where) for values in extended), *added)


def expand(spec: Spec) -> tuple[Cell, ...]:
    """All cells of a spec, in order.

    A matrix without cells, with one cell twice, or a set with a glob that matches no cell is BadInput.
    """
    derivations = _derivations(spec)
    for chosen in spec.sets:
        _chosen(chosen, derivations)
    return tuple({cell.name: cell for _, cell in derivations}.values())


def select(spec: Spec, cells: Iterable[Cell], set_name: str) -> tuple[Cell, ...]:
    """Those of `cells` that a set names, in their order; an unknown set is BadInput.

    Globs match the names that cells have in pipeline.yaml, also when the command line gives them another kernel
    or config: a set means the same cells there.
    """
    chosen = _find_set(spec, set_name)
    names = _chosen(chosen, _derivations(spec))
    return tuple(replace(cell, link_both=chosen.link_both) for cell in cells if cell.name in names)


def matching(cells: Iterable[Cell], pattern: str) -> tuple[Cell, ...]:
    """Those of `cells` whose names match a glob, in their order."""
    return tuple(cell for cell in cells if fnmatchcase(cell.name, pattern))


def by_glob(cells: Sequence[Cell], pattern: str) -> tuple[Cell, ...]:
    """Those of `cells` whose names match `cell=PATTERN`, in their order; none is BadInput."""
    if matched := matching(cells, pattern):
        return matched
    names = [cell.name for cell in cells]
    raise BadInput("matches no cell", where=f"cell={pattern}", hint=did_you_mean(pattern, names))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A combination with its names looked up; `key` is what makes a cell."""

    endian: Endian
    config: KernelConfig
    toolchain: Toolchain
    kernel: KernelSource
    machine: Machine
    stub_pass: StubPass | None
    expect: Expect
    where: str

    @property
    def key(self) -> tuple[str, ...]:
        return (*self.stem, self.kernel.name, self.machine.name)

    @property
    def stem(self) -> tuple[str, ...]:
        return (self.endian.value, self.config.name, self.toolchain.name)


def _find_set(spec: Spec, name: str) -> CellSet:
    for candidate in spec.sets:
        if candidate.name == name:
            return candidate
    known = [candidate.name for candidate in spec.sets]
    raise BadInput(f"unknown set {name!r}", where=spec.file, hint=did_you_mean(name, known))


def _chosen(chosen: CellSet, derivations: list[tuple[str, Cell]]) -> set[str]:
    """The names of the cells that a set's globs match."""
    names: set[str] = set()
    for pattern, where in chosen.globs:
        matched = [cell.name for planned, cell in derivations if fnmatchcase(planned, pattern)]
        if not matched:
            hint = did_you_mean(pattern, (planned for planned, _ in derivations))
            raise BadInput(f"sets.{chosen.name}: {pattern!r} matches no cell", where=where, hint=hint)
        names.update(matched)
    return names


def _derivations(spec: Spec) -> list[tuple[str, Cell]]:
    """(name in pipeline.yaml, cell) for every combination; with overrides several names may share a cell."""
    planned = _points(spec)
    planned_names = _names(planned, always_kernel=False)
    derived = [_override(spec, point) for point in planned]
    first: dict[tuple[str, ...], _Point] = {}
    for point in derived:
        first.setdefault(point.key, point)
    unique = list(first.values())
    always_kernel = spec.overrides.kernel is not None or bool(spec.overrides.patches)
    cells = dict(zip(first, _cells(spec, unique, always_kernel=always_kernel), strict=True))
    return [(name, cells[point.key]) for name, point in zip(planned_names, derived, strict=True)]


def _points(spec: Spec) -> list[_Point]:
    matrix = spec.matrix
    combinations = combine(
        {axis.name: axis.values for axis in matrix.axes},
        exclude=matrix.exclude,
        include=matrix.include,
        where=matrix.where,
    )
    if not combinations:
        raise BadInput("matrix: empty, every combination is excluded", where=matrix.where)
    points: list[_Point] = []
    first: dict[tuple[str, ...], str] = {}
    for combination in combinations:
        point = _point(spec, combination)
        if point.key in first:
            what = f"matrix: duplicate cell ({', '.join(point.key)})"
            raise BadInput(what, where=point.where, hint=f"the first one is from {first[point.key]}")
        first[point.key] = point.where
        points.append(point)
    return points


def _point(spec: Spec, combination: Combination) -> _Point:
    values = {**dict(spec.defaults), **dict(combination.values)}
    for axis in ("endian", "config", "toolchain", "kernel", "machine"):
        if axis not in values:
            what = f"matrix: a combination has no {axis}"
            raise BadInput(what, where=combination.where, hint="name it here, in matrix.axes or in defaults")
    stub_pass = values.get("stub_pass")
    endian, toolchain = Endian(values["endian"]), spec.toolchain(values["toolchain"])
    if toolchain.prefixes and endian not in dict(toolchain.prefixes):
        what = f"matrix: {toolchain.name} has no prefix for {endian.value}"
        raise BadInput(what, where=combination.where, hint=f"add it to toolchains/{toolchain.name}.yaml, or exclude")
    return _Point(
        endian=endian,
        config=next(config for config in spec.configs if config.name == values["config"]),
        toolchain=toolchain,
        kernel=next(source for source in spec.sources if source.name == values["kernel"]),
        machine=next(machine for machine in spec.machines if machine.name == values["machine"]),
        stub_pass=None if stub_pass is None else StubPass(stub_pass),
        expect=Expect(ool=_switch(values.get("expect.ool")), regs=_switch(values.get("expect.regs"))),
        where=combination.where,
    )


def _switch(value: str | None) -> bool | None:
    return None if value is None else value == "on"


def _override(spec: Spec, point: _Point) -> _Point:
    overrides = spec.overrides
    kernel = overrides.kernel or point.kernel
    if overrides.patches:
        earlier = kernel.patches if isinstance(kernel, PatchedSource) else ()
        base = kernel.base if isinstance(kernel, PatchedSource) else kernel
        kernel = PatchedSource(name=f"{kernel.name}-patched", base=base, patches=(*earlier, *overrides.patches))
    return replace(point, kernel=kernel, config=overrides.config or point.config)


def _stems(points: Sequence[_Point], *, always_kernel: bool) -> list[str]:
    """endian-config-toolchain, then the kernel where there are several."""
    with_kernel = always_kernel or len({point.kernel.name for point in points}) > 1
    return ["-".join([*point.stem, *([point.kernel.name] if with_kernel else [])]) for point in points]


def _names(points: Sequence[_Point], *, always_kernel: bool) -> list[str]:
    """The stems, with the machine where a cell has several."""
    machines = Counter(point.key[:-1] for point in points)
    names: list[str] = []
    first: dict[str, _Point] = {}
    for point, stem in zip(points, _stems(points, always_kernel=always_kernel), strict=True):
        name = f"{stem}-{point.machine.name}" if machines[point.key[:-1]] > 1 else stem
        if name in first:
            hint = f"{', '.join(first[name].key)} and {', '.join(point.key)} need other names"
            raise BadInput(f"matrix: two cells have the name {name!r}", where=point.where, hint=hint)
        first[name] = point
        names.append(name)
    return names


def _cells(spec: Spec, points: Sequence[_Point], *, always_kernel: bool) -> list[Cell]:
    # whoever brings a tree, or patches, has the tree's own pass judged by the kernel that it makes
    own = spec.overrides.kernel or spec.overrides.patches
    fallback = StubPass.KERNEL if own else StubPass.OOLONG
    cells = [
        Cell(
            name=name,
            build=name,
            endian=point.endian,
            config=_for_cell(spec, point),
            toolchain=point.toolchain,
            kernel=point.kernel,
            machine=point.machine,
            stub_pass=point.stub_pass or fallback,
            link_both=False,
            build_timeout=spec.build_timeout,
            expect=point.expect,
        )
        for name, point in zip(_names(points, always_kernel=always_kernel), points, strict=True)
    ]
    stems = _stems(points, always_kernel=always_kernel)
    builds: dict[str, set[object]] = {}
    for cell, stem in zip(cells, stems, strict=True):
        builds.setdefault(stem, set()).add(_built_from(cell))
    # cells that differ in their machine alone share a build; where a machine's cell is built otherwise, none do
    return [
        replace(cell, build=stem) if len(builds[stem]) == 1 else cell for cell, stem in zip(cells, stems, strict=True)
    ]


def _built_from(cell: Cell) -> object:
    """All of a cell that its build depends on."""
    config = replace(cell.config, startup_tests=None)
    return cell.endian, config, cell.toolchain, cell.kernel, cell.stub_pass


def _for_cell(spec: Spec, point: _Point) -> KernelConfig:
    """The config with the byte order's fragment before its own, so that its own have the last word on the ABI.

    What the cell declares of out-of-line ftrace goes before what the config requires, and is judged at the end: the
    verdict says more than a drift.
    """
    config, declared = point.config, point.expect.ool is not None
    required = [pair for pair in config.required if not declared or pair[0] != OUT_OF_LINE]
    tests = config.startup_tests
    if tests and point.expect.regs is False:
        tests = tuple(f"{test}{UNSUPPORTED}" if test == REGS_TEST else test for test in tests)
    return replace(
        config,
        fragments=(dict(spec.endian_fragments)[point.endian], *config.fragments),
        required=(*required, (ENDIAN_SYMBOLS[point.endian], "y")),
        startup_tests=tests,
    )


def _agrees(combination: Mapping[str, str], entry: Combination) -> bool:
    return all(combination.get(key) == value for key, value in entry.values)
