"""What the project is for, on real kernels: both endians built, counted, linked, booted and judged."""

import json
import os
import re
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oolong.binary import elf, powerpc
from oolong.host.digest import file_sha256
from oolong.host.files import remove_tree
from oolong.machine import memory
from oolong.machine.stops import INIT_MEMORY
from oolong.stubs import counting
from oolong.stubs.areas import read_areas
from tests import schema
from tests.checkout import cache_with_tools, copied_to
from tests.e2e.conftest import BE, LE, Smoke, recipes

pytestmark = pytest.mark.e2e
SCRIPT = "arch/powerpc/tools/ftrace-gen-ool-stubs.sh"


# what is wrong in 7.3.4, and known: known-issues.yaml
FINDINGS = {
    "image.kprobe-window",
    "image.dead-record-window",
    "image.post-link-checks",
    "guest.listed-once",
    "guest.kprobe-location",
}


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["status"] for check in result["verdict"]["checks"]}


def test_one_command_builds_and_boots_both_endians(smoke: Smoke) -> None:
    assert smoke.ran.code == 0, smoke.ran.err
    for cell in (LE, BE):
        result = smoke.checkout.result(cell)
        schema.check(result)
        assert result["verdict"]["status"] == "known"
        found = statuses(result)
        assert {name for name, status in found.items() if status == "known"} == FINDINGS
        assert {name for name, status in found.items() if status == "skip"} == set()
        assert set(found.values()) == {"pass", "known"}
        ours = {"object.tree-script", "stubs.link", "stubs.crosslink", "stubs.both-links", "artifacts.digest"}
        assert ours < set(found)
        by_family = Counter(name.partition(".")[0] for name in found)
        assert all(by_family[family] >= 7 for family in ("object", "image", "live", "guest")), by_family
        booted = next(stage["data"] for stage in result["stages"] if stage["stage"] == "boot")
        assert (booted["tests"], booted["skipped"]) == (14, [])
        assert re.search(rf"^{cell} +known ", smoke.ran.out, re.MULTILINE)


def test_without_known_issues_both_cells_fail(smoke: Smoke, tmp_path: Path) -> None:
    other = copied_to(tmp_path / "checkout", cache=smoke.checkout.cache)
    (other.folder / "known-issues.yaml").unlink()
    done = other.doit("-n", "2")
    assert done.code == 1, done.err
    for cell in (LE, BE):
        result = other.result(cell)
        assert result["verdict"]["status"] == "fail"
        assert {name for name, status in statuses(result).items() if status == "fail"} == FINDINGS
        (window,) = (check for check in result["verdict"]["checks"] if check["name"] == "image.kprobe-window")
        assert window["count"] > 100


@pytest.mark.parametrize(("cell", "order"), [(LE, "<"), (BE, ">")])
def test_the_memory_of_init_is_kept_before_it_is_freed(smoke: Smoke, cell: str, order: str) -> None:
    booted = next(stage for stage in smoke.checkout.result(cell)["stages"] if stage["stage"] == "boot")
    assert booted["data"]["stops"][0] == INIT_MEMORY
    snapshot, *_ = memory.load(smoke.checkout.stages / "boot" / booted["digest"] / "memory")
    with elf.opened(smoke.checkout.folder / "build" / "results" / cell / "vmlinux") as vmlinux:
        stub = vmlinux.symbols_by_name(("ftrace_ool_stub_inittext",))["ftrace_ool_stub_inittext"].value
    _, first, call, last, back = struct.unpack(f"{order}Q4I", snapshot.read(stub, 24))
    assert (first, last) == (powerpc.MFLR_R0, powerpc.MTLR_R0)
    assert powerpc.links(call)
    assert powerpc.branch_target(back, stub + 20) is not None


@pytest.mark.parametrize("cell", [LE, BE])
def test_the_results_are_what_result_json_says(smoke: Smoke, cell: str) -> None:
    folder = smoke.checkout.folder / "build" / "results" / cell
    files = smoke.checkout.result(cell)["files"]
    assert set(files) == {
        "vmlinux",
        "System.map",
        "vmlinux.o",
        "vmlinux.arch.S",
        "stubs.json",
        ".config",
        "console.log",
    }
    for name, digest in files.items():
        assert file_sha256(folder / name) == digest, name


@pytest.mark.parametrize(("cell", "little"), [(LE, True), (BE, False)])
def test_the_pass_counts_real_kernels(smoke: Smoke, cell: str, little: bool) -> None:
    folder = smoke.checkout.folder / "build" / "results" / cell
    sites = counting.read_sites(folder / "vmlinux.o")
    assert sites.little is little
    planned = counting.plan(sites, reserve=32768)
    assert planned.total > 10_000
    areas = read_areas(folder / "vmlinux")
    assert (areas.text, areas.text_end, areas.inittext) == (32768, 0, planned.inittext)
    data = {stage["stage"]: stage["data"] for stage in smoke.checkout.result(cell)["stages"]}
    assert data["boot"]["allocated"] == planned.total
    assert data["boot"]["total"] == planned.text


@pytest.mark.parametrize("cell", [LE, BE])
def test_a_function_is_explained_from_its_entry_to_its_stub_in_memory(smoke: Smoke, cell: str) -> None:
    done = smoke.checkout.doit("explain", "-c", cell, "-f", "kernel_clone", "format=json")
    assert done.code == 0, done.err
    ((told, function),) = [(told, function) for told in json.loads(done.out) for function in told["functions"]]
    assert told["missing"] == []
    (site,) = function["sites"]
    assert (site["offset"], site["in_file"]["site"]["text"]) == (function["local_entry"], "nop")
    assert {line["word"] for line in site["in_file"]["stub"]} == {"00000000"}
    (off,) = [moment for moment in site["live"] if "off" in moment["stops"]]
    assert {name: off[name] for name in ("site", "ops", "stub")} == site["expected"]
    (live,) = [moment for moment in site["live"] if "all" in moment["stops"]]
    ip, stub = int(site["address"], 16), int(site["stub"]["code"], 16)
    assert live["site"]["word"] == f"{powerpc.branch(ip, stub):08x}"
    back = powerpc.branch(stub + 12, ip + 4)
    assert [live["stub"][number]["word"] for number in (0, 2, 3)] == ["7c0802a6", "7c0803a6", f"{back:08x}"]
    assert [line["text"] for line in live["stub"]] == ["mflr r0", "bl ftrace_caller", "mtlr r0", "b kernel_clone+0xc"]
    assert (live["ops"]["name"], live["record"]["users"]) == ("global_ops", 1)


@pytest.mark.parametrize("cell", [LE, BE])
def test_all_functions_of_a_kernel_are_listed_with_their_stubs(smoke: Smoke, cell: str) -> None:
    done = smoke.checkout.doit("explain", "-c", cell, "format=json")
    assert done.code == 0, done.err
    served = [entry["stub"] for entry in json.loads(done.out) if entry["stub"]]
    booted = next(stage["data"] for stage in smoke.checkout.result(cell)["stages"] if stage["stage"] == "boot")
    assert len(served) == len(set(served)) == booted["allocated"]


@pytest.mark.parametrize("cell", [LE, BE])
def test_nothing_of_this_machine_reaches_a_kernel(smoke: Smoke, cell: str) -> None:
    folder = smoke.checkout.folder / "build" / "results" / cell
    assert b"(oolong@build)" in (folder / "vmlinux").read_bytes()
    names = [str(smoke.checkout.folder), str(smoke.checkout.cache), os.uname().release]
    for file in ("vmlinux", "vmlinux.o", ".config", "System.map", "vmlinux.arch.S"):
        data = (folder / file).read_bytes()
        for name in names:
            assert name.encode() not in data, f"{name} stands in {file}"
    assert str(smoke.checkout.cache) not in recipes(smoke.checkout, cell)


def test_a_second_run_does_nothing(smoke: Smoke) -> None:
    first, again = smoke.checkout.doit("-n", "2"), smoke.checkout.doit("-n", "2")
    assert (first.code, again.code) == (0, 0)
    assert again.err == ""
    assert again.out == first.out


def test_another_machine_makes_the_same_bytes(smoke: Smoke, tmp_path: Path) -> None:
    """Another path, cache, umask, locale, time zone and number of jobs; nothing compiled before, not even by ccache."""
    other = copied_to(tmp_path / "deep" / "down" / "another", cache=cache_with_tools(tmp_path / "cache"))
    other = replace(other, environment={"TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8", "USER": "somebody"})
    umask = os.umask(0o077)
    try:
        done = other.doit(f"cell:{LE}", "jobs=3")
    finally:
        os.umask(umask)
    assert done.code == 0, done.err
    ours, theirs = smoke.checkout.result(LE), other.result(LE)
    deterministic = {name: digest for name, digest in ours["files"].items() if name != "console.log"}
    assert {name: theirs["files"][name] for name in deterministic} == deterministic


def test_the_same_content_as_a_tree_of_ones_own_is_the_same_kernel(smoke: Smoke, kernel_tree: Path) -> None:
    """By `dir:`, with the tree's own script in the place of our pass; equal content is not compiled again."""
    done = smoke.checkout.doit("cell:le-minimal-gcc-14-*", f"kernel={kernel_tree}")
    assert done.code == 0, done.err
    own = smoke.checkout.result(f"{LE}-tree")
    assert own["stub_pass"] == "kernel"
    assert own["files"]["vmlinux"] == smoke.checkout.result(LE)["files"]["vmlinux"]
    tried = {name: status for name, status in statuses(own).items() if name.startswith("tree.")}
    assert {name for name, status in tried.items() if status != "pass"} == {"tree.empty-areas"}
    assert (len(tried), tried["tree.empty-areas"]) == (11, "known")
    compiled = smoke.checkout.stages / "compile"
    digests = [
        next(stage["digest"] for stage in result["stages"] if stage["stage"] == "compile")
        for result in (own, smoke.checkout.result(LE))
    ]
    one, other = (compiled / digest / "tree" / "vmlinux.o" for digest in digests)
    assert digests[0] != digests[1]
    assert one.samefile(other), "equal content was compiled again"


@pytest.fixture(scope="module")
def git_tree(kernel_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A git checkout of the kernel with build output lying about in it."""
    tree = tmp_path_factory.mktemp("own") / "linux"
    subprocess.run(["cp", "-r", str(kernel_tree), str(tree)], check=True)
    git = ["git", "-C", str(tree), "-c", "core.looseCompression=0"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    # by force: Debian's tree ignores everything at its top
    subprocess.run([*git, "add", "--all", "--force"], check=True)
    yield tree
    remove_tree(tree)


def test_an_edit_in_a_git_checkout_is_built_and_booted(smoke: Smoke, git_tree: Path) -> None:
    fork = git_tree / "kernel" / "fork.c"
    fork.write_text(fork.read_text() + "\nint oolong_was_here(int x) { return (x * 77 + 5) / 13 % 11 ^ x; }\n")
    (git_tree / ".config").write_text("CONFIG_LEFT_OVER=y\n")
    (git_tree / "vmlinux.o").write_text("left over")
    done = smoke.checkout.doit("cell:le-minimal-gcc-14-*", f"kernel={git_tree}")
    assert done.code == 0, done.err
    own = smoke.checkout.result(f"{LE}-linux")
    counts = {stage["stage"]: stage["data"] for stage in own["stages"]}["stubs"]
    before = {stage["stage"]: stage["data"] for stage in smoke.checkout.result(LE)["stages"]}["stubs"]
    assert counts["text"] == before["text"] + 1
    assert (git_tree / "vmlinux.o").read_text() == "left over"
    assert b"oolong_was_here" in (smoke.checkout.folder / "build/results" / f"{LE}-linux" / "System.map").read_bytes()


def test_a_script_that_miscounts_is_caught_and_seen_in_the_boot(smoke: Smoke, git_tree: Path, tmp_path: Path) -> None:
    """One stub too few in init text: the pass says so, and the kernel that was linked with it shows why it matters."""
    patch = tmp_path / "miscount.patch"
    line = "num_ool_stubs_text=$((num_ool_stubs_total - num_ool_stubs_inittext))"
    number = (git_tree / SCRIPT).read_text().splitlines().index(line) + 1
    patch.write_text(
        f"--- a/{SCRIPT}\n+++ b/{SCRIPT}\n@@ -{number},1 +{number},2 @@\n {line}\n"
        "+num_ool_stubs_inittext=$((num_ool_stubs_inittext - 1))\n"
    )
    done = smoke.checkout.doit("cell:le-minimal-gcc-14-*", f"kernel={git_tree}", f"patches={patch}")
    assert done.code == 1, done.err
    result = smoke.checkout.result(f"{LE}-linux-patched")
    assert result["verdict"]["kind"] == "stub-audit"
    assert any("ftrace_ool_stub_inittext: oolong counts" in line for line in result["verdict"]["lines"])
    booted = next(stage for stage in result["stages"] if stage["stage"] == "boot")
    assert booted["kind"] == "ftrace-bug"
    assert any("ftrace bug" in line for line in booted["lines"])


@pytest.mark.parametrize("cell", [LE, BE])
def test_stubs_after_the_text_serve_as_well(smoke: Smoke, cell: str, tmp_path: Path) -> None:
    """A .config of one's own with a small reserve: most stubs then lie in the area that the .S makes after .text."""
    config = smoke.checkout.folder / "build" / "results" / cell / ".config"
    reserve = tmp_path / "reserve.config"
    reserve.write_text("CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE=1000\n")
    done = smoke.checkout.doit(f"cell={cell[:2]}-*", f"config={config},{reserve}")
    assert done.code == 0, done.err
    (own,) = (smoke.checkout.folder / "build" / "results").glob(f"{cell[:2]}-*reserve*/result.json")
    result = smoke.checkout.result(own.parent.name)
    counts = next(stage["data"] for stage in result["stages"] if stage["stage"] == "stubs")
    assert counts["text_end"] == counts["text"] - 1000 > 5000
    left = {name: status for name, status in statuses(result).items() if status not in ("pass", "known")}
    # a configuration of one's own has no modules here
    assert left == {"live.modules": "skip"}
