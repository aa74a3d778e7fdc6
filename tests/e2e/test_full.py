"""What takes too long for every run: one kernel by several kinds of source, each compiled anew; modules."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from oolong.host.files import remove_tree
from tests.checkout import cache_with_tools, copied_to
from tests.e2e.conftest import BE, LE, Smoke

# two modules of lib/ that test something else when they are loaded
MODULES = "CONFIG_RUNTIME_TESTING_MENU=y\nCONFIG_ATOMIC64_SELFTEST=m\nCONFIG_TEST_HEXDUMP=m\n"
# of a cell whose config wants modules and whose set links with both stub passes
STAGES = {
    "configure",
    "compile",
    "stubs",
    "audit-object",
    "offsets",
    "link",
    "audit-image",
    "crosslink",
    "modules",
    "initramfs",
    "boot",
    "live",
}
pytestmark = [pytest.mark.e2e, pytest.mark.full]


@pytest.mark.parametrize("kind", ["plain", "git"])
def test_the_same_content_compiled_anew_is_the_same_kernel(
    smoke: Smoke, kernel_tree: Path, tmp_path: Path, kind: str
) -> None:
    """With a cache of its own nothing can be linked from the pipeline's own build: objects and links are made anew."""
    tree = tmp_path / "linux"
    subprocess.run(["cp", "-r", str(kernel_tree), str(tree)], check=True)
    if kind == "git":
        git = ["git", "-C", str(tree), "-c", "core.looseCompression=0"]
        subprocess.run([*git, "init", "--quiet"], check=True)
        subprocess.run([*git, "add", "--all", "--force"], check=True)
    other = copied_to(tmp_path / "checkout", cache=cache_with_tools(tmp_path / "cache"))
    done = other.doit("cell:be-minimal-gcc-14-*", f"kernel={tree}")
    assert done.code == 0, done.err
    assert re.search(r"compile:\S+: ok, ", done.err)
    theirs, ours = other.result(f"{BE}-linux")["files"], smoke.checkout.result(BE)["files"]
    for name in ("vmlinux", "vmlinux.o", ".config", "System.map"):
        assert theirs[name] == ours[name], name
    remove_tree(tree)


def test_a_cell_made_again_is_the_same(smoke: Smoke) -> None:
    """`again=1` runs every stage of the cell, and publishes none of it."""
    first = smoke.checkout.result(BE)
    own = {stage["stage"]: stage["digest"] for stage in first["stages"] if stage["task"] == f"{stage['stage']}:{BE}"}
    assert own.keys() == STAGES
    published = {stage: smoke.checkout.layout.stage(stage, digest).stat().st_ino for stage, digest in own.items()}
    done = smoke.checkout.doit("again=1", f"cell:{BE}")
    assert done.code == 0, done.err
    for stage, digest in own.items():
        assert f"{stage}:{BE}: ok, " in done.err, stage
        made = json.loads((smoke.checkout.layout.unpublished / stage / BE / "result.json").read_bytes())
        assert made["digest"] == digest, stage
        assert smoke.checkout.layout.stage(stage, digest).stat().st_ino == published[stage], stage
    assert f"{BE}: known" in done.err
    before, after = first["files"], smoke.checkout.result(BE)["files"]
    assert {name: after[name] for name in after if name != "console.log"} == {
        name: before[name] for name in before if name != "console.log"
    }


def test_a_reserve_of_no_stubs_is_known_not_to_compile(smoke: Smoke, tmp_path: Path) -> None:
    zero = tmp_path / "zero.config"
    zero.write_text("CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE=0\n")
    config = smoke.checkout.folder / "build" / "results" / LE / ".config"
    done = smoke.checkout.doit("cell=le-*-gcc-14", f"config={config},{zero}")
    assert done.code == 0, done.err
    (own,) = (smoke.checkout.folder / "build" / "results").glob("le-*zero*/result.json")
    verdict = smoke.checkout.result(own.parent.name)["verdict"]
    assert verdict["status"] == "known"
    (compiled,) = (check for check in verdict["checks"] if check["name"] == "stage.compile")
    assert (compiled["status"], compiled["known"]) == ("known", ["no-stub-reserve"])


def test_modules_are_built_packed_and_loaded_in_the_guest(smoke: Smoke, tmp_path: Path) -> None:
    other = copied_to(tmp_path / "checkout", cache=smoke.checkout.cache)
    (other.folder / "configs" / "modular.config").write_text(MODULES)
    pipeline = other.folder / "pipeline.yaml"
    text = pipeline.read_text()
    assert "configs:\n" in text
    assert "config: [minimal]" in text
    minimal = re.search(r"configs:\n  minimal:\n((?:    .*\n)+)", text)
    assert minimal
    modular = f"configs:\n  modular:\n{minimal[1].replace('[minimal]', '[minimal, modular]')}"
    pipeline.write_text(text.replace("configs:\n", modular).replace("config: [minimal]", "config: [minimal, modular]"))
    cell = "be-modular-gcc-14"
    done = other.doit(f"cell:{cell}")
    assert done.code == 0, done.err
    folder = other.folder / "build" / "results" / cell
    console = (folder / "console.log").read_text()
    for module in ("atomic64_test.ko", "test_hexdump.ko"):
        assert re.search(rf"oolong: ok \d+ /lib/{module}", console)
