"""oolong.overrides: a person's own tree, config and patches in the place of pipeline.yaml's."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.errors import BadInput
from oolong.host.layout import Layout
from oolong.spec import pipeline_yaml
from oolong.spec.matrix import expand, select
from oolong.spec.model import DebianSource, DirSource, PatchedSource, Spec, StubPass
from oolong.spec.overrides import from_command_line, with_overrides
from tests.support import TEST_DATA

DATA = TEST_DATA / "spec" / "checkout"


@pytest.fixture
def loaded(tmp_path: Path) -> Spec:
    shutil.copytree(DATA, tmp_path / "checkout")
    return pipeline_yaml.load(Layout(checkout=tmp_path / "checkout", cache=tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the person stands: a tree, a config, a fragment and two patches."""
    (tmp_path / "my tree").mkdir()
    for name in ("my.config", "tracing.config", "a.patch", "b.patch"):
        (tmp_path / name).write_text("# text\n")
    return tmp_path


def names(loaded: Spec, set_name: str = "full") -> list[str]:
    return [cell.name for cell in select(loaded, expand(loaded), set_name)]


def error_of(loaded: Spec, folder: Path, **typed: str) -> str:
    with pytest.raises(BadInput) as caught:
        from_command_line(loaded, folder=folder, **typed)
    return str(caught.value).replace(str(folder), "HERE")


def test_nothing_typed_changes_nothing(loaded: Spec, folder: Path) -> None:
    assert from_command_line(loaded, folder=folder) == loaded


def test_kernel_replaces_the_axis(loaded: Spec, folder: Path) -> None:
    changed = from_command_line(loaded, kernel="my tree", folder=folder)
    assert names(changed) == ["le-minimal-gcc-14-my-tree", "le-guest-gcc-14-my-tree", "be-minimal-gcc-14-my-tree"]
    assert {cell.kernel for cell in expand(changed)} == {DirSource(name="my-tree", path=folder / "my tree")}
    assert {cell.stub_pass for cell in expand(changed)} == {StubPass.KERNEL}


def test_set_means_the_same_cells_on_an_own_tree(loaded: Spec, folder: Path) -> None:
    changed = from_command_line(loaded, kernel="my tree", config="my.config", folder=folder)
    assert names(changed, "smoke") == ["le-my-gcc-14-my-tree", "be-my-gcc-14-my-tree"]
    assert all(cell.link_both for cell in select(changed, expand(changed), "smoke"))


def test_several_kernels_become_one(loaded: Spec, tmp_path: Path, folder: Path) -> None:
    pipeline = tmp_path / "checkout" / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("kernel: [v7.3.4]", "kernel: [v7.3.4, mine]"))
    several = pipeline_yaml.load(Layout(checkout=tmp_path / "checkout", cache=tmp_path / "cache"))
    assert len(expand(several)) == 6
    changed = from_command_line(several, kernel="my tree", folder=folder)
    assert names(changed) == ["le-minimal-gcc-14-my-tree", "le-guest-gcc-14-my-tree", "be-minimal-gcc-14-my-tree"]


def test_explicit_stub_pass_stays(loaded: Spec, tmp_path: Path, folder: Path) -> None:
    pipeline = tmp_path / "checkout" / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("stub_pass: kernel", "stub_pass: oolong"))
    again = pipeline_yaml.load(Layout(checkout=tmp_path / "checkout", cache=tmp_path / "cache"))
    cells = expand(from_command_line(again, kernel="my tree", folder=folder))
    assert [cell.stub_pass for cell in cells] == [StubPass.KERNEL, StubPass.KERNEL, StubPass.OOLONG]


def test_kernel_never_has_a_name_of_the_pipeline(loaded: Spec, folder: Path) -> None:
    (folder / "mine").mkdir()
    changed = from_command_line(loaded, kernel="mine", folder=folder)
    assert names(changed, "smoke") == ["le-minimal-gcc-14-mine-tree", "be-minimal-gcc-14-mine-tree"]


def test_kernel_named_in_other_letters(loaded: Spec, folder: Path) -> None:
    (folder / "линукс").mkdir()
    changed = from_command_line(loaded, kernel="линукс", folder=folder)
    assert names(changed, "smoke") == ["le-minimal-gcc-14-tree", "be-minimal-gcc-14-tree"]


def test_kernel_here(loaded: Spec, folder: Path) -> None:
    changed = from_command_line(loaded, kernel=".", folder=folder / "my tree")
    assert names(changed, "smoke") == ["le-minimal-gcc-14-my-tree", "be-minimal-gcc-14-my-tree"]


def test_kernel_in_the_home_folder(loaded: Spec, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    changed = from_command_line(loaded, kernel="~/my tree", folder=Path("/"))
    assert expand(changed)[0].kernel == DirSource(name="my-tree", path=folder / "my tree")


def test_config_from_a_file(loaded: Spec, folder: Path) -> None:
    changed = from_command_line(loaded, config="my.config", folder=folder)
    assert names(changed) == ["le-my-gcc-14", "be-my-gcc-14"]
    config = expand(changed)[0].config
    assert config.base == folder / "my.config"
    assert [path.name for path in config.fragments] == ["le.config"]
    assert config.required == (("CPU_LITTLE_ENDIAN", "y"),)
    assert (config.startup_tests, config.modules) == (None, False)
    assert expand(changed)[0].stub_pass is StubPass.OOLONG


def test_config_from_a_make_target_and_fragments(loaded: Spec, folder: Path) -> None:
    changed = from_command_line(loaded, config="ppc64le_guest_defconfig,tracing.config", folder=folder)
    assert names(changed)[0] == "le-ppc64le_guest_defconfig-tracing-gcc-14"
    config = expand(changed)[0].config
    assert config.base == "ppc64le_guest_defconfig"
    assert [path.name for path in config.fragments] == ["le.config", "tracing.config"]


def test_a_config_of_the_pipeline_with_a_fragment_keeps_what_it_asks_for(loaded: Spec, folder: Path) -> None:
    minimal, *others = (replace(config, optional=("SYSCTL",)) for config in loaded.configs)
    loaded = replace(loaded, configs=(minimal, *others))
    changed = from_command_line(loaded, config="minimal,tracing.config", folder=folder)
    assert names(changed, "smoke") == ["le-minimal-tracing-gcc-14", "be-minimal-tracing-gcc-14"]
    config = expand(changed)[0].config
    assert [path.name for path in config.fragments] == ["le.config", "minimal.config", "tracing.config"]
    assert set(config.required) >= set(minimal.required)
    assert (config.base, config.modules, config.optional) == (minimal.base, minimal.modules, ("SYSCTL",))
    assert config.startup_tests is None


def test_a_config_of_the_pipeline_alone_is_itself(loaded: Spec, folder: Path) -> None:
    changed = from_command_line(loaded, config="minimal", folder=folder)
    assert {cell.config for cell in expand(changed)} == {
        cell.config for cell in expand(loaded) if cell.config.name == "minimal"
    }


def test_config_never_has_a_name_of_the_pipeline(loaded: Spec, folder: Path) -> None:
    shutil.copy(folder / "my.config", folder / "minimal.config")
    changed = from_command_line(loaded, config="minimal.config", folder=folder)
    assert names(changed, "smoke") == ["le-minimal-file-gcc-14", "be-minimal-file-gcc-14"]


def test_patches_on_every_kernel(loaded: Spec, folder: Path) -> None:
    changed = from_command_line(loaded, patches="a.patch,b.patch", folder=folder)
    assert names(changed, "smoke") == ["le-minimal-gcc-14-v7.3.4-patched", "be-minimal-gcc-14-v7.3.4-patched"]
    assert expand(changed)[0].kernel == PatchedSource(
        name="v7.3.4-patched",
        base=DebianSource(name="v7.3.4", suite="trixie-backports", package="linux-source-7.3"),
        patches=(folder / "a.patch", folder / "b.patch"),
    )


def test_a_patched_kernel_is_linked_by_its_own_stub_pass(loaded: Spec, folder: Path) -> None:
    """So that a patch of the script shapes the kernel that boots."""
    changed = from_command_line(loaded, patches="a.patch", folder=folder)
    assert {cell.stub_pass for cell in expand(changed)} == {StubPass.KERNEL}


def test_patches_come_after_those_of_the_pipeline(loaded: Spec, tmp_path: Path, folder: Path) -> None:
    pipeline = tmp_path / "checkout" / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("kernel: [v7.3.4]", "kernel: [mine]"))
    again = pipeline_yaml.load(Layout(checkout=tmp_path / "checkout", cache=tmp_path / "cache"))
    kernel = expand(from_command_line(again, patches="a.patch", folder=folder))[0].kernel
    assert isinstance(kernel, PatchedSource)
    assert [path.name for path in kernel.patches] == ["fix.patch", "a.patch"]
    assert isinstance(kernel.base, DirSource)


def test_patches_on_an_own_tree(loaded: Spec, folder: Path) -> None:
    changed = from_command_line(loaded, kernel="my tree", patches="a.patch", folder=folder)
    assert names(changed, "smoke") == ["le-minimal-gcc-14-my-tree-patched", "be-minimal-gcc-14-my-tree-patched"]


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"kernel": "my  tree"}, "kernel=HERE/my  tree: no such folder\n  did you mean 'my tree'?"),
        ({"kernel": "my.config"}, "kernel=HERE/my.config: not a folder"),
        ({"kernel": "~nobody-at-all/x"}, "kernel=HERE/~nobody-at-all/x: no such folder"),
        ({"config": "mine.config"}, "config=HERE/mine.config: no such file\n  did you mean 'my.config'?"),
        ({"config": "my tree"}, "config=HERE/my tree: not a file"),
        (
            {"config": "my.config,tracin.config"},
            "config=HERE/tracin.config: no such file\n  did you mean 'tracing.config'?",
        ),
        ({"config": "my.config,"}, "config=my.config,: an empty name between commas"),
        ({"patches": "a.patch,c.patch"}, "patches=HERE/c.patch: no such file\n  did you mean 'b.patch'?"),
        ({"kernel": ""}, "kernel=: must not be empty"),
        ({"config": ""}, "config=: must not be empty"),
        ({"patches": ""}, "patches=: must not be empty"),
        ({"patches": ",a.patch"}, "patches=,a.patch: an empty name between commas"),
    ],
)
def test_error_names_the_variable(typed: dict[str, str], error: str, loaded: Spec, folder: Path) -> None:
    assert error_of(loaded, folder, **typed) == error


def test_make_target_of_another_form(loaded: Spec) -> None:
    with pytest.raises(BadInput) as caught:
        with_overrides(loaded, config="menuconfig")
    assert (
        str(caught.value)
        == "config=menuconfig: not a config\n  a config of pipeline.yaml, NAME_defconfig, or the path of a .config"
    )
