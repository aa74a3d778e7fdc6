"""Which edit of oolong's own code gives which stages a new recipe: each module edited in turn, held against a table."""

import shutil
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pytest

from oolong.engine.code_digest import Code
from oolong.engine.stage import Stage
from oolong.host.layout import Layout
from oolong.run.project import Request, open_project
from oolong.spec.model import StubPass
from oolong.stages.chain import Pipeline
from tests.support import CHECKOUT

PACKAGE = CHECKOUT / "oolong"
EDIT = "\nEDITED = 1\n"

BUILDS = {"configure", "compile", "offsets", "link", "crosslink", "modules", "initramfs"}
AUDITS = {"audit-object", "audit-image"}
TRIED = {"tree"}
OF_THE_CELL = {"boot", "live"}
SUPPLIES = {"rootfs", "source"}
ALL = {*SUPPLIES, *BUILDS, "stubs", *AUDITS, *TRIED, *OF_THE_CELL}
NONE: set[str] = set()

# modules by their place in oolong/, the stages that an edit of their code gives a new recipe, and why; the first row
# that a module matches counts
TABLE: list[tuple[str, set[str], str]] = [
    ("errors.py printable.py", NONE, "an error is no output"),
    ("host/*", NONE, "moves bytes; what a build sees of its sandbox stands in the recipe"),
    ("spec/*", NONE, "says what was asked for; what a stage takes from it stands in its recipe"),
    ("engine/*", NONE, "finds, makes and publishes stages; their outputs are their work's"),
    ("*/__main__.py doctor.py", NONE, "a program of its own"),
    (
        "verdict/* report/* run/* explain/* museum/* stages/chain.py audit/catalogue.py",
        NONE,
        "looks at finished stages",
    ),
    ("supply/again.py supply/apt.py", NONE, "locks are made and tried outside the stages"),
    ("supply/relock.py supply/gather.py", NONE, "locks and bundles are made outside the stages"),
    ("binary/disassembly.py", NONE, "explain alone disassembles"),
    ("__init__.py stages/__init__.py stages/outputs.py", ALL, "every stage imports it"),
    ("stages/sandboxed.py", ALL - {"live"}, "runs a command inside, as every stage but live does"),
    ("stages/limited.py", {*BUILDS, "stubs", *AUDITS, *TRIED}, "runs a command under the time limit of the builds"),
    (
        "stages/building.py kbuild/log.py",
        {*BUILDS, *TRIED},
        "the builds of the kernel's tree: their sandbox, how they fail",
    ),
    (
        "stages/unpack.py supply/__init__.py supply/bundle.py supply/deb.py supply/fetch.py supply/mirror.py",
        SUPPLIES,
        "brings bytes",
    ),
    ("stages/rootfs.py supply/rootfs.py", {"rootfs"}, "unpacks packages"),
    ("stages/source.py supply/*", {"source"}, "brings and unpacks a kernel"),
    ("stages/configure.py kbuild/config_why.py", {"configure"}, "decides config-drift, and says why"),
    ("stages/compile.py", {"compile"}, "its own work"),
    ("stages/stubs.py stubs/assembled.py", {"stubs"}, "its own work"),
    ("stages/link.py", {"link", "crosslink"}, "one work, with either stub pass"),
    ("kbuild/postlink.py", {"link", "crosslink"}, "what a link says of the checks that it did not run"),
    ("stages/modules.py", {"modules"}, "its own work"),
    ("stages/offsets.py binary/dwarf.py", {"offsets"}, "reads debug information"),
    ("stages/initramfs.py", {"initramfs"}, "its own work"),
    ("stages/audit_object.py", {"audit-object"}, "its own work"),
    ("stages/audit_image.py", {"audit-image"}, "its own work"),
    ("stages/tree.py stages/trial.py audit/tree_checks.py", TRIED, "its own work"),
    ("kbuild/kconfig_entry.py", TRIED, "what Kconfig says of an entry"),
    ("kbuild/rules.py", {"stubs", *TRIED}, "what a build says of its rules"),
    ("stages/audited.py", {*AUDITS, *TRIED, "live"}, "which kernels are audited"),
    ("stages/boot.py", {"boot"}, "its own work"),
    ("stages/live.py", {"live"}, "its own work"),
    ("kbuild/config.py", {"configure", "stubs", *AUDITS, *TRIED, *OF_THE_CELL}, "reads .config"),
    ("kbuild/__init__.py", ALL - SUPPLIES, "the package around them"),
    ("kbuild/make.py", ALL - {*SUPPLIES, "live"}, "the command lines of the kernel's build and of its scripts"),
    (
        "binary/__init__.py binary/elf.py",
        {"stubs", "offsets", "link", "crosslink", *AUDITS, *TRIED, *OF_THE_CELL},
        "reads ELF",
    ),
    ("binary/structs.py", {"offsets", "audit-image", *OF_THE_CELL}, "where the members of structures lie"),
    ("binary/powerpc.py", {*AUDITS, *OF_THE_CELL}, "instruction words"),
    (
        "stubs/__init__.py stubs/areas.py",
        {"stubs", "link", "crosslink", *AUDITS, *TRIED, *OF_THE_CELL},
        "the areas and their count words",
    ),
    (
        "stubs/counting.py",
        {"stubs", *AUDITS, *OF_THE_CELL},
        "counts; the kernel is linked again only if the .S differs",
    ),
    ("machine/__init__.py", {"initramfs", *OF_THE_CELL}, "the package around them"),
    ("machine/family.py machine/guest.py", {"initramfs", "boot"}, "what runs in a machine, and on which"),
    (
        "machine/memory.py machine/stops.py audit/survey.py",
        OF_THE_CELL,
        "the same walk as memory is read and as it is kept",
    ),
    ("machine/* audit/console_trace.py", {"boot"}, "runs the machine and hears its console"),
    ("audit/probes.py", OF_THE_CELL, "what the guest is to probe, and what it was asked for"),
    (
        "audit/post_mortem.py audit/live_state.py audit/module_layout.py audit/record_checks.py audit/stub_checks.py",
        OF_THE_CELL,
        "what is wrong with memory at any time; a boot asks it of a guest that does not get on",
    ),
    (
        "audit/object*.py audit/outcomes.py audit/static_checks.py audit/window_checks.py audit/linker_script.py "
        "audit/image_checks.py audit/area_checks.py audit/orphans.py audit/calls.py",
        AUDITS,
        "the static audit",
    ),
    (
        "audit/__init__.py",
        {*AUDITS, *TRIED, *OF_THE_CELL},
        "the package around them",
    ),
    (
        "audit/check.py audit/registry.py",
        {*AUDITS, *TRIED, *OF_THE_CELL},
        "what a check is",
    ),
    (
        "audit/allocation.py audit/image.py audit/patched.py audit/rules.py",
        {*AUDITS, *OF_THE_CELL},
        "the image as it is read, and how checks are made; a boot reads it to know where to look",
    ),
    (
        "audit/linked.py",
        AUDITS,
        "the image as it is audited",
    ),
    ("audit/*", {"live"}, "the checks of memory and guest"),
]


def modules() -> list[str]:
    found = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return sorted(path.as_posix() for path in found if "__pycache__" not in path.parts)


def row_of(module: str) -> tuple[str, set[str], str]:
    return next(row for row in TABLE if any(fnmatchcase(module, pattern) for pattern in row[0].split()))


def defined_in(stage: Stage) -> str:
    """The module whose code is a stage's."""
    assert isinstance(stage.work, partial)
    return str(stage.work.func.__module__)


@pytest.fixture(scope="module")
def defining() -> dict[str, str]:
    """The modules that define stages, by the names of the stages."""
    project = open_project(Request(set="smoke"), Layout(checkout=CHECKOUT, cache=CHECKOUT / "no-cache"))
    return {stage.name: defined_in(stage) for stage in project.pipeline.stages()}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to be edited."""
    copy = tmp_path / "oolong"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def digests(package: Path, defining: dict[str, str]) -> dict[str, str]:
    code = Code(package)
    return {stage: code.digest(module) for stage, module in defining.items()}


def test_the_table_knows_every_stage(defining: dict[str, str]) -> None:
    assert set(defining) == ALL


def test_an_edit_of_a_module_reaches_the_stages_of_its_row(package: Path, defining: dict[str, str]) -> None:
    before = digests(package, defining)
    wrong = {}
    for module in modules():
        text = (package / module).read_text()
        (package / module).write_text(text + EDIT)
        after = digests(package, defining)
        (package / module).write_text(text)
        reached = {stage for stage in before if before[stage] != after[stage]}
        if reached != (expected := row_of(module)[1]):
            wrong[module] = {"reached": sorted(reached), "by the table": sorted(expected)}
    assert not wrong


def test_an_edit_of_prose_reaches_no_stage(package: Path, defining: dict[str, str]) -> None:
    before = digests(package, defining)
    for module in modules():
        text = (package / module).read_text()
        if text.startswith('"""'):
            (package / module).write_text(f'"""Another docstring.\n\n{text[3:]}\n\n# a comment\n')
    assert digests(package, defining) == before


def test_every_row_of_the_table_is_used() -> None:
    used = {row_of(module)[0] for module in modules()}
    assert used == {patterns for patterns, _, _ in TABLE}


@pytest.mark.parametrize("stage", ["audit-object", "link", "audit-image"])
def test_what_the_stub_pass_decides_has_a_recipe_for_each_pass(stage: str) -> None:
    layout = Layout(checkout=CHECKOUT, cache=CHECKOUT / "no-cache")
    project = open_project(Request(set="smoke"), layout)
    found = set()
    for stub_pass in StubPass:
        cell = replace(project.cells[0], stub_pass=stub_pass)
        chain = Pipeline(layout, project.spec, [cell]).of_cell(cell.name)
        found |= {one.digest for one in chain if one.name == stage}
    assert len(found) == len(StubPass)
