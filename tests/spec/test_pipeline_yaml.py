"""oolong.spec and oolong.spec.yamlfile: what a good checkout gives, and the whole text of every error."""

import shutil
from pathlib import Path

import pytest
import yaml

from oolong.errors import BadInput
from oolong.host.layout import Layout
from oolong.spec import matrix, pipeline_yaml
from oolong.spec.model import DebianSource, DirSource, Endian, Machine, MachineFamily, NotDue, PatchedSource, Toolchain
from tests.support import CHECKOUT, TEST_DATA

DATA = TEST_DATA / "spec"
ERRORS = yaml.safe_load((DATA / "errors.yaml").read_text())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    shutil.copytree(DATA / "checkout", tmp_path / "checkout")
    return Layout(checkout=tmp_path / "checkout", cache=tmp_path / "cache")


def error_of(layout: Layout) -> str:
    with pytest.raises(BadInput) as caught:
        matrix.expand(pipeline_yaml.load(layout))
    return str(caught.value).replace(str(layout.checkout), "CHECKOUT")


@pytest.mark.parametrize("case", ERRORS, ids=[case["case"] for case in ERRORS])
def test_error_names_the_place_and_what_would_be_right(case: dict[str, str], layout: Layout) -> None:
    file = layout.checkout / case["file"]
    text = file.read_text()
    assert text.count(case["replace"]) == 1
    file.write_text(text.replace(case["replace"], case["by"]))
    assert error_of(layout) == case["error"].rstrip("\n")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "pipeline.yaml:1:1: the file is empty"),
        (b"# nothing\n", "pipeline.yaml:1:1: the file is empty"),
        (b"- a\n", "pipeline.yaml:1:1: must be a mapping, not a list"),
        (b"sources\n", "pipeline.yaml:1:1: must be a mapping, not 'sources'"),
        ("a: 1\né: ü".encode() + b"\xff", "pipeline.yaml:2:5: not UTF-8"),
        (b"a: 1\nb: \x07\n", "pipeline.yaml:2:4: the character U+0007 is not allowed"),
        ("a: 1\nb: \ufeff\n".encode(), "pipeline.yaml:2:4: the character U+FEFF is not allowed"),
        (b"a: " + b"x" * 300_000, "pipeline.yaml: larger than 256 KiB"),
        (b"[" * 100_000, "pipeline.yaml:1:17: nested deeper than 16"),
    ],
)
def test_file_that_is_no_mapping_in_utf8(raw: bytes, error: str, layout: Layout) -> None:
    layout.pipeline.write_bytes(raw)
    assert error_of(layout) == error


def test_aliases_that_multiply_are_refused_unexpanded(layout: Layout) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 64))
    layout.pipeline.write_text(bomb)
    assert error_of(layout) == "pipeline.yaml:2:10: aliases are not used here\n  write it out"


def test_a_number_of_digits_without_end_is_refused(layout: Layout) -> None:
    text = layout.pipeline.read_text()
    assert "timeout: 180" in text
    layout.pipeline.write_text(text.replace("timeout: 180", f"timeout: {'9' * 5000}", 1))
    assert "must be from 1 to 86400, not 99999" in error_of(layout)


def test_missing_pipeline(layout: Layout) -> None:
    layout.pipeline.unlink()
    assert error_of(layout) == "pipeline.yaml: cannot be read: No such file or directory"


def test_pipeline_that_is_a_folder(layout: Layout) -> None:
    layout.pipeline.unlink()
    layout.pipeline.mkdir()
    assert error_of(layout) == "pipeline.yaml: cannot be read: Is a directory"


def test_missing_toolchain_file(layout: Layout) -> None:
    layout.toolchain("gcc-14").unlink()
    assert error_of(layout) == "pipeline.yaml:31:17: matrix.axes.toolchain[0]: unknown toolchain 'gcc-14'"


def test_missing_endian_fragment(layout: Layout) -> None:
    (layout.configs / "be.config").unlink()
    assert error_of(layout) == "configs/be.config: missing: every endianness has a fragment"


def test_byte_order_mark_is_accepted(layout: Layout) -> None:
    expected = pipeline_yaml.load(layout)
    layout.pipeline.write_bytes(b"\xef\xbb\xbf" + layout.pipeline.read_bytes())
    assert pipeline_yaml.load(layout) == expected


def test_sources(layout: Layout) -> None:
    debian = DebianSource(name="v7.3.4", suite="trixie-backports", package="linux-source-7.3")
    tree = DirSource(name="mine", path=layout.checkout / "linux")
    patched = PatchedSource(name="mine", base=tree, patches=(layout.checkout / "patches/fix.patch",))
    assert pipeline_yaml.load(layout).sources == (debian, patched)


def test_configs(layout: Layout) -> None:
    minimal, guest = pipeline_yaml.load(layout).configs
    assert (minimal.base, minimal.fragments) == ("allnoconfig", (layout.configs / "minimal.config",))
    assert minimal.required == (("PPC_FTRACE_OUT_OF_LINE", "y"), ("NR_CPUS", "4"), ("LIVEPATCH", "n"))
    assert (minimal.startup_tests, minimal.modules) == (None, False)
    assert (guest.base, guest.fragments, guest.required) == ("ppc64le_guest_defconfig", (), ())
    assert (guest.startup_tests, guest.modules) == (("function", "dynamic ftrace"), True)


def test_config_from_a_whole_file(layout: Layout) -> None:
    text = layout.pipeline.read_text()
    layout.pipeline.write_text(text.replace("base: allnoconfig", "base: configs/le.config"))
    assert pipeline_yaml.load(layout).configs[0].base == layout.configs / "le.config"


def test_machines(layout: Layout) -> None:
    assert pipeline_yaml.load(layout).machines == (
        Machine(
            name="pseries",
            emulator="qemu",
            machine="pseries",
            cpu="POWER9",
            cpus=2,
            memory=1024,
            cmdline="console=hvc0",
            timeout=180,
        ),
    )


def test_a_machine_is_of_the_family_pseries_unless_it_says_otherwise(layout: Layout) -> None:
    (machine,) = pipeline_yaml.load(layout).machines
    assert machine.family is MachineFamily.PSERIES
    layout.pipeline.write_text(
        layout.pipeline.read_text().replace("    cpus: 2\n", "    cpus: 2\n    family: powernv\n")
    )
    (machine,) = pipeline_yaml.load(layout).machines
    assert machine.family is MachineFamily.POWERNV


def test_what_is_not_due_is_declared_with_a_reason_and_knows_its_place(layout: Layout) -> None:
    text = layout.pipeline.read_text()
    declared = "    not_due: {live.*: it cannot stop}\n"
    text = text.replace("    cpus: 2\n", f"    cpus: 2\n{declared}")
    layout.pipeline.write_text(text.replace("    base: allnoconfig\n", f"    base: allnoconfig\n{declared}"))
    loaded = pipeline_yaml.load(layout)
    reason = "it cannot stop"
    assert loaded.configs[0].not_due == (NotDue(name="live.*", reason=reason, where="pipeline.yaml:10:15"),)
    assert loaded.machines[0].not_due == (NotDue(name="live.*", reason=reason, where="pipeline.yaml:23:15"),)


def test_toolchains(layout: Layout) -> None:
    gcc, kbuild, qemu = pipeline_yaml.load(layout).toolchains
    assert gcc == Toolchain(
        name="gcc-14",
        family="gcc",
        suites=("trixie",),
        packages=("gcc-14-powerpc64le-linux-gnu",),
        without=("libcc1-0",),
        links=(),
        prefixes=((Endian.LE, "powerpc64le-linux-gnu-"), (Endian.BE, "powerpc64-linux-gnu-")),
    )
    assert (kbuild.family, kbuild.links) == ("host", (("usr/bin/awk", "mawk"),))
    assert qemu.family == "emulator"


def test_new_toolchain_is_one_file(layout: Layout) -> None:
    shutil.copy(layout.toolchain("gcc-14"), layout.toolchain("gcc-13"))
    text = layout.pipeline.read_text()
    layout.pipeline.write_text(text.replace("toolchain: [gcc-14]", "toolchain: [gcc-14, gcc-13]"))
    names = [cell.name for cell in matrix.expand(pipeline_yaml.load(layout))]
    assert names == [
        "le-minimal-gcc-14",
        "le-minimal-gcc-13",
        "le-guest-gcc-14",
        "le-guest-gcc-13",
        "be-minimal-gcc-14",
        "be-minimal-gcc-13",
    ]


def test_number_like_names_stay_as_written(layout: Layout) -> None:
    text = layout.pipeline.read_text()
    layout.pipeline.write_text(text.replace("v7.3.4", "6.10"))
    loaded = pipeline_yaml.load(layout)
    assert loaded.sources[0].name == "6.10"
    assert matrix.expand(loaded)[0].kernel is loaded.sources[0]


def test_own_pipeline_is_valid() -> None:
    checkout = CHECKOUT
    loaded = pipeline_yaml.load(Layout(checkout=checkout, cache=checkout / "build" / "cache"))
    smoke = matrix.select(loaded, matrix.expand(loaded), "smoke")
    assert [cell.name for cell in smoke] == ["le-minimal-gcc-14", "be-minimal-gcc-14"]
    assert all(cell.link_both for cell in smoke)
