"""oolong.matrix: GitHub's own examples, the laws of the product, names, sets."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oolong.errors import BadInput
from oolong.host.layout import Layout
from oolong.spec import pipeline_yaml
from oolong.spec.matrix import by_glob, combine, expand, select
from oolong.spec.model import Axis, CellSet, Combination, Expect, Spec, StubPass
from tests.support import TEST_DATA

DATA = TEST_DATA / "spec" / "checkout"
Row = Mapping[str, str]


def rows(
    axes: Mapping[str, Sequence[str]], *, exclude: Sequence[Row] = (), include: Sequence[Row] = ()
) -> list[dict[str, str]]:
    def entries(given: Sequence[Row]) -> list[Combination]:
        return [Combination(values=tuple(row.items()), where="") for row in given]

    combined = combine(axes, exclude=entries(exclude), include=entries(include), where="")
    return [dict(combination.values) for combination in combined]


# Examples of docs.github.com: "Running variations of jobs in a workflow" and "Workflow syntax for GitHub Actions".


def test_github_order() -> None:
    assert rows({"version": ["10", "12", "14"], "os": ["ubuntu", "windows"]}) == [
        {"version": "10", "os": "ubuntu"},
        {"version": "10", "os": "windows"},
        {"version": "12", "os": "ubuntu"},
        {"version": "12", "os": "windows"},
        {"version": "14", "os": "ubuntu"},
        {"version": "14", "os": "windows"},
    ]


def test_github_fruit() -> None:
    include = [
        {"color": "green"},
        {"color": "pink", "animal": "cat"},
        {"fruit": "apple", "shape": "circle"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]
    assert rows({"fruit": ["apple", "pear"], "animal": ["cat", "dog"]}, include=include) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_github_expanding() -> None:
    axes = {"os": ["windows", "ubuntu"], "node": ["14", "16"]}
    assert rows(axes, include=[{"os": "windows", "node": "16", "npm": "6"}]) == [
        {"os": "windows", "node": "14"},
        {"os": "windows", "node": "16", "npm": "6"},
        {"os": "ubuntu", "node": "14"},
        {"os": "ubuntu", "node": "16"},
    ]


def test_github_adding() -> None:
    axes = {"os": ["macos", "windows", "ubuntu"], "version": ["12", "14", "16"]}
    added = {"os": "windows", "version": "17"}
    assert rows(axes, include=[added]) == [*rows(axes), added]


def test_github_include_only() -> None:
    include = [{"site": "production", "datacenter": "site-a"}, {"site": "staging", "datacenter": "site-b"}]
    assert rows({}, include=include) == include


def test_github_exclude() -> None:
    axes = {
        "os": ["macos", "windows"],
        "version": ["12", "14", "16"],
        "environment": ["staging", "production"],
    }
    exclude = [{"os": "macos", "version": "12", "environment": "production"}, {"os": "windows", "version": "16"}]
    assert rows(axes, exclude=exclude) == [
        {"os": "macos", "version": "12", "environment": "staging"},
        {"os": "macos", "version": "14", "environment": "staging"},
        {"os": "macos", "version": "14", "environment": "production"},
        {"os": "macos", "version": "16", "environment": "staging"},
        {"os": "macos", "version": "16", "environment": "production"},
        {"os": "windows", "version": "12", "environment": "staging"},
        {"os": "windows", "version": "12", "environment": "production"},
        {"os": "windows", "version": "14", "environment": "staging"},
        {"os": "windows", "version": "14", "environment": "production"},
    ]


def test_github_include_adds_back_what_was_excluded() -> None:
    axes = {"os": ["macos", "windows"], "version": ["12"]}
    back = {"os": "macos", "version": "12"}
    assert rows(axes, exclude=[{"os": "macos"}], include=[back]) == [{"os": "windows", "version": "12"}, back]


KEYS = ("endian", "config", "kernel")
LETTERS = st.sampled_from("abc")
AXES = st.dictionaries(st.sampled_from(KEYS), st.lists(LETTERS, min_size=1, unique=True), min_size=1)
ON_AXES = st.lists(st.dictionaries(st.sampled_from(KEYS), LETTERS, min_size=1), max_size=3)
INCLUDES = st.lists(st.dictionaries(st.sampled_from((*KEYS, "stub_pass")), LETTERS, min_size=1), max_size=3)


@given(AXES)
def test_without_entries_it_is_the_product(axes: dict[str, list[str]]) -> None:
    assert rows(axes) == [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


@given(AXES, ON_AXES)
def test_exclusions_only_take_away_and_keep_the_order(axes: dict[str, list[str]], exclude: list[Row]) -> None:
    kept = rows(axes, exclude=exclude)
    assert kept == [row for row in rows(axes) if row in kept]
    assert not any(entry.items() <= row.items() for row in kept for entry in exclude)


@given(AXES, ON_AXES, INCLUDES)
def test_inclusions_change_no_axis_value_and_lose_nothing(
    axes: dict[str, list[str]], exclude: list[Row], include: list[Row]
) -> None:
    kept = rows(axes, exclude=exclude)
    result = rows(axes, exclude=exclude, include=include)
    assert [{key: row[key] for key in axes} for row in result[: len(kept)]] == kept
    assert all(row in include for row in result[len(kept) :])
    for entry in include:
        on_axes = {key: value for key, value in entry.items() if key in axes}
        assert any(on_axes.items() <= row.items() for row in result)


@given(AXES, ON_AXES, INCLUDES)
def test_same_input_same_order(axes: dict[str, list[str]], exclude: list[Row], include: list[Row]) -> None:
    assert rows(axes, exclude=exclude, include=include) == rows(axes, exclude=exclude, include=include)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    checkout = tmp_path_factory.mktemp("matrix") / "checkout"
    shutil.copytree(DATA, checkout)
    return pipeline_yaml.load(Layout(checkout=checkout, cache=checkout / "cache"))


def with_axes(loaded: Spec, **axes: Sequence[str]) -> Spec:
    """The spec with these axes instead, nothing excluded or included, and no sets."""
    made = tuple(Axis(name=name, values=tuple(values)) for name, values in axes.items())
    return replace(loaded, matrix=replace(loaded.matrix, axes=made, exclude=(), include=()), sets=())


def test_cells_in_order_with_their_settings(loaded: Spec) -> None:
    assert [(cell.name, cell.stub_pass) for cell in expand(loaded)] == [
        ("le-minimal-gcc-14", StubPass.OOLONG),
        ("le-guest-gcc-14", StubPass.OOLONG),
        ("be-minimal-gcc-14", StubPass.KERNEL),
    ]


def test_byte_order_comes_before_the_configs_own_fragments_and_is_required(loaded: Spec) -> None:
    le, _, be = (cell.config for cell in expand(loaded))
    assert [path.name for path in le.fragments] == ["le.config", "minimal.config"]
    assert [path.name for path in be.fragments] == ["be.config", "minimal.config"]
    assert le.required[-1] == ("CPU_LITTLE_ENDIAN", "y")
    assert be.required[-1] == ("CPU_BIG_ENDIAN", "y")


def test_defaults_fill_a_missing_axis_and_setting(loaded: Spec) -> None:
    defaults = (("machine", "pseries"), ("kernel", "v7.3.4"), ("stub_pass", "kernel"))
    smaller = with_axes(replace(loaded, defaults=defaults), endian=["be"], config=["guest"], toolchain=["gcc-14"])
    (cell,) = expand(smaller)
    assert (cell.name, cell.stub_pass, cell.machine.name) == ("be-guest-gcc-14", StubPass.KERNEL, "pseries")


def test_several_kernels_are_in_the_names(loaded: Spec) -> None:
    several = with_axes(loaded, endian=["le"], config=["minimal"], toolchain=["gcc-14"], kernel=["v7.3.4", "mine"])
    assert [cell.name for cell in expand(several)] == ["le-minimal-gcc-14-v7.3.4", "le-minimal-gcc-14-mine"]


def test_machine_is_in_the_name_only_where_a_cell_has_several(loaded: Spec) -> None:
    powernv = replace(loaded.machines[0], name="powernv")
    several = with_axes(
        replace(loaded, machines=(*loaded.machines, powernv)),
        endian=["le", "be"],
        config=["minimal"],
        toolchain=["gcc-14"],
        kernel=["v7.3.4"],
        machine=["pseries"],
    )
    include = (("endian", "be"), ("config", "minimal"), ("toolchain", "gcc-14"), ("kernel", "v7.3.4"))
    more = Combination(values=(*include, ("machine", "powernv")), where="here")
    several = replace(several, matrix=replace(several.matrix, include=(more,)))
    assert [cell.name for cell in expand(several)] == [
        "le-minimal-gcc-14",
        "be-minimal-gcc-14-pseries",
        "be-minimal-gcc-14-powernv",
    ]


def with_machines(loaded: Spec, *more: str, include: tuple[Combination, ...] = ()) -> Spec:
    """One kernel in both byte orders on several machines."""
    machines = (*loaded.machines, *(replace(loaded.machines[0], name=name) for name in more))
    several = with_axes(
        replace(loaded, machines=machines),
        endian=["le", "be"],
        config=["minimal"],
        toolchain=["gcc-14"],
        kernel=["v7.3.4"],
        machine=[machine.name for machine in machines],
    )
    return replace(several, matrix=replace(several.matrix, include=include))


def test_cells_that_differ_in_their_machine_alone_share_a_build(loaded: Spec) -> None:
    cells = expand(with_machines(loaded, "powernv", "small"))
    assert len({cell.name for cell in cells}) == 6
    assert {cell.build for cell in cells} == {"le-minimal-gcc-14", "be-minimal-gcc-14"}


def test_a_cell_on_one_machine_has_the_name_of_its_build(loaded: Spec) -> None:
    assert all(cell.build == cell.name for cell in expand(loaded))


@pytest.mark.parametrize("setting", [("stub_pass", "kernel"), ("expect.ool", "off")])
def test_cells_that_are_built_otherwise_on_a_machine_share_no_build(loaded: Spec, setting: tuple[str, str]) -> None:
    config = replace(loaded.configs[0], required=(("PPC_FTRACE_OUT_OF_LINE", "y"),))
    other = Combination(values=(("endian", "le"), ("machine", "powernv"), setting), where="here")
    spec_ = with_machines(replace(loaded, configs=(config, *loaded.configs[1:])), "powernv", include=(other,))
    builds = {cell.name: cell.build for cell in expand(spec_)}
    assert builds == {
        "le-minimal-gcc-14-pseries": "le-minimal-gcc-14-pseries",
        "le-minimal-gcc-14-powernv": "le-minimal-gcc-14-powernv",
        "be-minimal-gcc-14-pseries": "be-minimal-gcc-14",
        "be-minimal-gcc-14-powernv": "be-minimal-gcc-14",
    }


def test_another_startup_test_on_a_machine_is_the_same_build(loaded: Spec) -> None:
    other = Combination(values=(("endian", "le"), ("machine", "powernv"), ("expect.regs", "off")), where="here")
    cells = expand(with_machines(loaded, "powernv", include=(other,)))
    assert {cell.build for cell in cells} == {"le-minimal-gcc-14", "be-minimal-gcc-14"}


def test_names_that_run_together_are_refused(loaded: Spec) -> None:
    configs = tuple(replace(loaded.configs[0], name=name) for name in ("tiny", "tiny-gcc"))
    toolchains = tuple(replace(loaded.toolchains[0], name=name) for name in ("gcc-14", "14"))
    spec_ = with_axes(
        replace(loaded, configs=configs, toolchains=toolchains),
        endian=["le"],
        config=["tiny", "tiny-gcc"],
        toolchain=["gcc-14", "14"],
        kernel=["v7.3.4"],
    )
    with pytest.raises(BadInput) as caught:
        expand(spec_)
    assert str(caught.value) == (
        "pipeline.yaml:28:3: matrix: two cells have the name 'le-tiny-gcc-14'\n"
        "  le, tiny, gcc-14, v7.3.4, pseries and le, tiny-gcc, 14, v7.3.4, pseries need other names"
    )


@given(data=st.data())
def test_names_are_unique_and_safe(loaded: Spec, data: st.DataObject) -> None:
    def some(*values: str) -> list[str]:
        return data.draw(st.lists(st.sampled_from(values), min_size=1, unique=True))

    cells = expand(
        with_axes(
            loaded,
            kernel=some("v7.3.4", "mine"),
            toolchain=["gcc-14"],
            endian=some("le", "be"),
            config=some("minimal", "guest"),
        )
    )
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    assert all(pipeline_yaml.NAME.fullmatch(name) for name in names)


def test_set_by_glob(loaded: Spec) -> None:
    smoke = select(loaded, expand(loaded), "smoke")
    assert [cell.name for cell in smoke] == ["le-minimal-gcc-14", "be-minimal-gcc-14"]
    assert all(cell.link_both for cell in smoke)
    full = select(loaded, expand(loaded), "full")
    assert full == expand(loaded)
    assert not any(cell.link_both for cell in full)


def test_set_in_the_cells_order_without_repeats(loaded: Spec) -> None:
    chosen = CellSet(name="two", globs=(("be-*", "here"), ("*-minimal-*", "here")), link_both=False)
    cells = select(replace(loaded, sets=(chosen,)), expand(loaded), "two")
    assert [cell.name for cell in cells] == ["le-minimal-gcc-14", "be-minimal-gcc-14"]


def test_unknown_set(loaded: Spec) -> None:
    with pytest.raises(BadInput) as caught:
        select(loaded, expand(loaded), "smok")
    assert str(caught.value) == "pipeline.yaml: unknown set 'smok'\n  did you mean 'smoke'?"


def test_cells_by_glob(loaded: Spec) -> None:
    assert [cell.name for cell in by_glob(expand(loaded), "le-*")] == ["le-minimal-gcc-14", "le-guest-gcc-14"]


def test_glob_that_matches_no_cell(loaded: Spec) -> None:
    with pytest.raises(BadInput) as caught:
        by_glob(expand(loaded), "le-minimal-gcc-15")
    assert str(caught.value) == "cell=le-minimal-gcc-15: matches no cell\n  did you mean 'le-minimal-gcc-14'?"


def test_an_expectation_changes_what_is_required_and_tested(loaded: Spec) -> None:
    """Out-of-line ftrace is judged at the end, not as a drift; a startup test has another title."""
    config = replace(
        loaded.configs[0],
        required=(("PPC_FTRACE_OUT_OF_LINE", "y"), ("NR_CPUS", "4")),
        startup_tests=("dynamic ftrace", "ftrace regs"),
    )
    declared = (("endian", "be"), ("expect.ool", "off"), ("expect.regs", "off"))
    matrix = replace(loaded.matrix, include=(Combination(values=declared, where="here"),))
    cells = expand(replace(loaded, configs=(config, *loaded.configs[1:]), matrix=matrix))
    expecting = next(cell for cell in cells if cell.name == "be-minimal-gcc-14")
    plain = next(cell for cell in cells if cell.name == "le-minimal-gcc-14")
    assert expecting.expect == Expect(ool=False, regs=False)
    assert expecting.expect.as_json() == {"ool": "off", "regs": "off"}
    assert ("PPC_FTRACE_OUT_OF_LINE", "y") not in expecting.config.required
    assert ("NR_CPUS", "4") in expecting.config.required
    assert expecting.config.startup_tests == ("dynamic ftrace", "ftrace regs(no arch support)")
    assert plain.expect == Expect()
    assert ("PPC_FTRACE_OUT_OF_LINE", "y") in plain.config.required
    assert plain.config.startup_tests == ("dynamic ftrace", "ftrace regs")
