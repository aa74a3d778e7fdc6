"""Faults that out-of-line ftrace has had, or could have, brought back in a real kernel: each is caught, and named.

A kernel has several at once, each in a function of its own that the guest never calls, so that it boots to the end and
the audit alone finds them.
"""

import re
from pathlib import Path

import pytest

from oolong.audit import image as vmlinux
from tests.e2e.conftest import BE, LE, Smoke
from tests.e2e.faulty import FTRACE, SCRIPT, Built, Edit, built, patch_of

pytestmark = [pytest.mark.e2e, pytest.mark.full]


NO_MTLR, RETURNS_LATE = "sys_sethostname", "sys_setdomainname"
# neighbours, in this order
SWAPPED = "sys_setpriority", "sys_getpriority"
TWO_NOPS = {"add_range", "add_range_with_merge", "subtract_range", "clean_sort_range", "sort_range", "cmp_range"}
NAMES = {"no_mtlr": NO_MTLR, "returns_late": RETURNS_LATE, "swapped_first": SWAPPED[0], "swapped_second": SWAPPED[1]}
ONE_FUNCTION_EACH: tuple[Edit, ...] = (
    (
        FTRACE,
        "#define	NUM_FTRACE_TRAMPS	2\n",
        "#define	NUM_FTRACE_TRAMPS	2\n"
        + "".join(f'extern char {name}[] __asm__("{function}");\n' for name, function in NAMES.items()),
    ),
    (
        FTRACE,
        "	ool_stub += (*ool_stub_index)++;\n",
        "	ool_stub += (*ool_stub_index)++;\n"
        "	ool_stub += rec->ip == ppc_function_entry(swapped_first);\n"
        "	ool_stub -= rec->ip == ppc_function_entry(swapped_second);\n",
    ),
    (
        FTRACE,
        "create_branch(&inst, &ool_stub->insn[3], rec->ip + MCOUNT_INSN_SIZE, 0))\n",
        "create_branch(&inst, &ool_stub->insn[3], rec->ip + MCOUNT_INSN_SIZE *\n"
        "				  (rec->ip == ppc_function_entry(returns_late) ? 2 : 1), 0))\n",
    ),
    (
        FTRACE,
        "	ool_stub_template.insn[3] = ppc_inst_val(inst);\n",
        "	ool_stub_template.insn[3] = ppc_inst_val(inst);\n"
        "	if (rec->ip == ppc_function_entry(no_mtlr))\n"
        "		ool_stub_template.insn[2] = PPC_RAW_NOP();\n",
    ),
    (
        "kernel/Makefile",
        "obj-$(CONFIG_MULTIUSER) += groups.o\n",
        "obj-$(CONFIG_MULTIUSER) += groups.o\nCFLAGS_range.o := -fpatchable-function-entry=2\n",
    ),
)
TEXT_END_COUNT = "	num_ool_stubs_text_end=$((num_ool_stubs_text - num_ool_stubs_text_builtin))\n"
ONE_TOO_FEW_IN_BOTH: tuple[Edit, ...] = (
    (
        SCRIPT,
        TEXT_END_COUNT,
        f"{TEXT_END_COUNT}	num_ool_stubs_text_end=$((num_ool_stubs_text_end - 1))\n"
        "	num_ool_stubs_inittext=$((num_ool_stubs_inittext - 1))\n",
    ),
)
ROOM = "	.space $num_ool_stubs_inittext * FTRACE_OOL_STUB_SIZE\n"
# the count word says as many as before
TOO_LITTLE_ROOM: tuple[Edit, ...] = (
    (SCRIPT, ROOM, ROOM.replace("$num_ool_stubs_inittext", "($num_ool_stubs_inittext - 1)")),
)
# what cfec8463d9a1 put right: constructors lie in .text.startup, and were not counted
STARTUP_NOT_COUNTED: tuple[Edit, ...] = (
    (SCRIPT, ' -e ".text.startup"', ""),
    (
        "kernel/range.c",
        "int add_range(",
        'int __attribute__((section(".text.startup"))) begins_early(int x);\n'
        "int begins_early(int x)\n{\n	return x + 1;\n}\n\nint add_range(",
    ),
)
KNOWN_ISSUES_FIXED: tuple[Edit, ...] = (
    ("arch/powerpc/Makefile.postlink", "\nvmlinux: FORCE\n", "\nvmlinux vmlinux.unstripped: FORCE\n"),
    ("arch/powerpc/kernel/kprobes.c", "(unsigned long)addr + 16);", "(unsigned long)addr + 8);"),
)


def unpatched(smoke: Smoke, cell: str) -> Built:
    """What became of the same cell without a patch."""
    return Built(result=smoke.checkout.result(cell), console="")


@pytest.fixture(scope="module")
def one_function_each(smoke: Smoke, kernel_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    cells = {cell: f"{cell}-v7.3.4-patched" for cell in (LE, BE)}
    patch = patch_of(kernel_tree, ONE_FUNCTION_EACH)
    found = built(smoke, list(cells.values()), patch, tmp_path_factory.mktemp("functions"))
    return {cell: found[name] for cell, name in cells.items()}


@pytest.mark.parametrize("cell", [LE, BE])
def test_nothing_else_fails_and_the_kernel_runs(smoke: Smoke, one_function_each: dict[str, Built], cell: str) -> None:
    """No test of the kernel or of the guest notices any of these faults."""
    one = one_function_each[cell]
    assert one.boot_kind is None
    assert one.verdict == ("fail", "stub-audit")
    assert one.failing - unpatched(smoke, cell).failing == {"live.stub-words", "live.stub-addresses", "object.one-nop"}


@pytest.mark.parametrize("cell", [LE, BE])
def test_a_dropped_mtlr_and_a_return_to_the_wrong_word_are_caught(
    one_function_each: dict[str, Built], cell: str
) -> None:
    one = one_function_each[cell]
    assert one.victims("live.stub-words") == {NO_MTLR, RETURNS_LATE}
    evidence = one.check("live.stub-words")["evidence"]
    assert re.search(rf"{NO_MTLR}: at init-memory: its stub is (\w+ \w+) 60000000 (\w+), not \1 7c0803a6 \2", evidence)


@pytest.mark.parametrize("cell", [LE, BE])
def test_swapped_stubs_are_caught(one_function_each: dict[str, Built], cell: str) -> None:
    assert one_function_each[cell].victims("live.stub-addresses") == set(SWAPPED)


@pytest.mark.parametrize("cell", [LE, BE])
def test_a_file_with_two_nops_at_its_functions_is_caught(one_function_each: dict[str, Built], cell: str) -> None:
    assert one_function_each[cell].victims("object.one-nop") == TWO_NOPS


def test_counts_that_are_one_too_few_are_caught(smoke: Smoke, kernel_tree: Path, tmp_path: Path) -> None:
    """In the area after text, which a small reserve makes the kernel use, and in that of init text: by the script, in
    the .S, in the image, on paper, and where the guest's boot failed in its memory."""
    reserve = tmp_path / "few.config"
    reserve.write_text("CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE=1000\n")
    results = smoke.checkout.folder / "build" / "results"
    cell, patch = "le-config-few-gcc-14-tree-patched", patch_of(kernel_tree, ONE_TOO_FEW_IN_BOTH)
    config = f"config={results / LE / '.config'},{reserve}"
    one = built(smoke, [cell], patch, tmp_path, f"kernel={kernel_tree}", config)[cell]
    assert one.verdict == ("fail", "stub-audit")
    assert one.boot_kind == "ftrace-bug"
    areas = {"ftrace_ool_stub_text_end", "ftrace_ool_stub_inittext"}
    assert {line.partition(":")[0] for line in one.victims("object.tree-script")} == areas
    assert one.victims("object.stub-source") == areas
    assert one.victims("image.stub-counts") == areas
    image = vmlinux.read(results / cell / "vmlinux")
    last = {image.area_of(site.ip): image.owner(site.ip) for site in image.sites}
    assert one.victims("image.stub-allocation") == {last["text"], last["inittext"]}
    assert failed_first(one.console) == last["text"]
    assert one.check("live.stops")["status"] == "skip"
    assert last["text"] in one.victims("live.stub-addresses")


def test_a_script_that_forgets_a_section_of_init_text_is_caught(
    smoke: Smoke, kernel_tree: Path, tmp_path: Path
) -> None:
    cell, patch = f"{BE}-tree-patched", patch_of(kernel_tree, STARTUP_NOT_COUNTED)
    one = built(smoke, [cell], patch, tmp_path, f"kernel={kernel_tree}")[cell]
    assert one.verdict == ("fail", "stub-audit")
    assert one.boot_kind == "ftrace-bug"
    area = {"ftrace_ool_stub_inittext"}
    assert {line.partition(":")[0] for line in one.victims("object.tree-script")} == area
    assert one.victims("object.stub-source") == one.victims("image.stub-counts") == area
    assert one.check("object.sections")["status"] == "pass"
    for check in ("image.stub-allocation", "live.stub-addresses"):
        assert one.victims(check) == {"begins_early"}
    assert failed_first(one.console) == "begins_early"


def test_a_script_that_reserves_too_little_is_caught_by_a_patch_alone(
    smoke: Smoke, kernel_tree: Path, tmp_path: Path
) -> None:
    """Without any other option the kernel is linked with what the patched script makes. It boots: the stub of the last
    function of init text lies in what the linker fills the page with."""
    cell, area = f"{LE}-v7.3.4-patched", "ftrace_ool_stub_inittext"
    one = built(smoke, [cell], patch_of(kernel_tree, TOO_LITTLE_ROOM), tmp_path)[cell]
    assert one.result["stub_pass"] == "kernel"
    assert one.verdict == ("fail", "stub-audit")
    assert {line.partition(":")[0] for line in one.victims("object.tree-script")} == {area}
    assert one.victims("image.stub-size") == one.victims("image.stub-areas") == {area}
    assert one.check("image.stub-counts")["status"] == "pass"
    assert one.boot_kind is None


def failed_first(console: str) -> str | None:
    """The function at which the kernel gave up ftrace."""
    found = re.search(r"ftrace failed to modify\s+.*\[<[0-9a-f]+>\] (\w+)\+", console)
    return found and found[1]


def test_known_issues_that_are_fixed_are_said_to_be_gone(smoke: Smoke, kernel_tree: Path, tmp_path: Path) -> None:
    cell, patch = f"{LE}-v7.3.4-patched", patch_of(kernel_tree, KNOWN_ISSUES_FIXED)
    one = built(smoke, [cell], patch, tmp_path)[cell]
    before = unpatched(smoke, LE)
    assert one.failing <= before.failing
    for check in ("image.post-link-checks", "guest.kprobe-location"):
        assert one.check(check)["status"] == "pass"
        (issue,) = before.check(check)["known"]
        gone = f"no longer occurs: {issue} ({check})"
        assert any(note.startswith(gone) for note in one.result["verdict"]["notes"])
