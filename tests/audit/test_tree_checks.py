"""The checks of a tree's build of the stubs: what was seen of a good one, with one thing otherwise at a time."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oolong.audit import catalogue, tree_checks
from oolong.audit.check import CheckStatus
from oolong.audit.registry import Trait
from oolong.audit.rules import RULES
from oolong.audit.tree_checks import TREE, Seen, Tried
from oolong.stubs.areas import INITTEXT, TEXT_END

SOURCE, SOURCE_OBJECT = "arch/powerpc/tools/vmlinux.arch.S", "arch/powerpc/tools/vmlinux.arch.o"
KCONFIG = """\
config FUNCTION_SITES
	bool
	depends on TRACER

config PPC_FTRACE_OUT_OF_LINE
	def_bool PPC64 && FUNCTION_SITES
	select SOMETHING

config OTHER
	bool
	depends on PPC64
"""
WELL = Tried(ended=0, source="the .S", called=True)
GOOD = Seen(
    kconfig=KCONFIG,
    generated=SOURCE,
    source="the .S",
    places=("scripts/Makefile.build",),
    command="script.sh 5 y objdump vmlinux.o out.S",
    called=True,
    repeated=(),
    kept=(),
    left=(),
    alone=WELL,
    lying=WELL,
    emptied=Tried(ended=1, source=None),
    empty={TEXT_END: Tried(ended=0, source="one"), INITTEXT: Tried(ended=0, source="other")},
    without_modules=(),
    wide=(SOURCE_OBJECT,),
    narrow=(),
    narrow_config={"PPC32": "y", "FUNCTION_TRACER": "y"},
)
TRIED_OTHERWISE = Tried(ended=0, source="another .S", called=True)
NO_WORD = Tried(ended=1, source=None)
SILENT = "ended with 1: without a word"
DEPENDS = KCONFIG.replace("	select SOMETHING\n", "	depends on {}\n")
# what is otherwise, the check that does not hold, and what it says of whom
FAULTS: list[tuple[dict[str, Any], str, dict[str, str]]] = [
    ({"kconfig": DEPENDS.format("PPC64")}, "tree.dependencies", {"PPC64": "stands there twice"}),
    (
        {"kconfig": DEPENDS.format("TRACER")},
        "tree.dependencies",
        {"TRACER": "FUNCTION_SITES depends on it"},
    ),
    ({"kconfig": ""}, "tree.dependencies", {"PPC_FTRACE_OUT_OF_LINE": "arch/powerpc/Kconfig has no such entry"}),
    ({"generated": "arch/powerpc/tools/.a.S"}, "tree.visible", {"arch/powerpc/tools/.a.S": "is hidden"}),
    (
        {"places": ("scripts/Makefile.build", "arch/powerpc/tools/Makefile")},
        "tree.generic-rule",
        {"arch/powerpc/tools/Makefile": "has a rule of its own for the object"},
    ),
    ({"places": ()}, "tree.generic-rule", {SOURCE_OBJECT: "no recipe of scripts/Makefile.build made it"}),
    ({"repeated": ["vmlinux"]}, "tree.second-make", {"vmlinux": "made again, though nothing had changed"}),
    ({"kept": [SOURCE]}, "tree.script-edit", {SOURCE: "not made again after an edit of the script"}),
    ({"left": [SOURCE]}, "tree.clean", {SOURCE: "is still there"}),
    (
        {"lying": NO_WORD},
        "tree.word-size",
        {"include/config/auto.conf": f"decides: where it says 32 bits, the script {SILENT}"},
    ),
    ({"emptied": None}, "tree.word-size", {"CONFIG_64BIT": "its value is no argument of the script"}),
    ({"emptied": WELL}, "tree.word-size", {"CONFIG_64BIT": "without its value the script writes the same .S"}),
    ({"called": False}, "tree.objdump", {"make OBJDUMP=": "the program of that name was not called"}),
    (
        {"alone": replace(WELL, called=False)},
        "tree.objdump",
        {"the command alone": "without variables of make it called another program"},
    ),
    (
        {"alone": TRIED_OTHERWISE},
        "tree.objdump",
        {"the command alone": "without variables of make it wrote another .S"},
    ),
    (
        {"empty": {**GOOD.empty, INITTEXT: NO_WORD}},
        "tree.empty-areas",
        {INITTEXT: f"where it needs no stub, the script {SILENT}"},
    ),
    (
        {"empty": {**GOOD.empty, TEXT_END: Tried(ended=0, source=None)}},
        "tree.empty-areas",
        {TEXT_END: "where it needs no stub, the script ended well and wrote nothing"},
    ),
    (
        {"empty": {**GOOD.empty, TEXT_END: Tried(ended=0, source="", said="Warning: .space repeat count is zero")}},
        "tree.empty-areas",
        {TEXT_END: "where it needs no stub, .space 0 is reserved"},
    ),
    (
        {"empty": {**GOOD.empty, TEXT_END: Tried(ended=0, source="", said="Error: no such instruction")}},
        "tree.empty-areas",
        {TEXT_END: "the assembler says: Error: no such instruction"},
    ),
    ({"without_modules": ["a.c:1: error: x"]}, "tree.without-modules", {"a.c:1: error: x": ""}),
    ({"narrow": [SOURCE_OBJECT]}, "tree.thirty-two-bit", {SOURCE_OBJECT: "the link of a 32-bit kernel needs it"}),
    (
        {"narrow_config": {**GOOD.narrow_config, "PPC_FTRACE_OUT_OF_LINE": "y"}},
        "tree.thirty-two-bit",
        {"PPC_FTRACE_OUT_OF_LINE": "is on in a 32-bit configuration"},
    ),
    (
        {"wide": ()},
        "tree.thirty-two-bit",
        {SOURCE_OBJECT: "is no prerequisite of the link of this kernel either"},
    ),
]


def found(seen: Seen) -> dict[str, dict[str, str]]:
    """What the checks that do not hold say, by their names."""
    return {
        check.name: {one.who: one.what for one in check.findings}
        for check in TREE.run(seen)
        if check.status is CheckStatus.FAIL
    }


def test_a_good_build_holds_in_all() -> None:
    assert {check.status for check in TREE.run(GOOD)} == {CheckStatus.PASS}


@pytest.mark.parametrize(("fault", "name", "said"), FAULTS)
def test_a_fault_fails_its_check_alone(fault: dict[str, Any], name: str, said: dict[str, str]) -> None:
    assert found(replace(GOOD, **fault)) == {name: said}


@pytest.mark.parametrize(
    ("area", "tried", "rule"),
    [
        (INITTEXT, NO_WORD, "no-line-counted"),
        (TEXT_END, NO_WORD, ""),
        (INITTEXT, Tried(ended=2, source=None), ""),
        (INITTEXT, Tried(ended=1, source=None, said="objdump: not found"), ""),
        (INITTEXT, Tried(ended=0, source="", said="Warning: .space repeat count is zero"), ""),
    ],
)
def test_a_script_that_ends_as_a_count_of_no_line_does_is_explained(area: str, tried: Tried, rule: str) -> None:
    seen = replace(GOOD, empty={**GOOD.empty, area: tried})
    (one,) = (one for check in TREE.run(seen) for one in check.findings)
    assert one.rule == rule
    assert not rule or "tree.empty-areas" in RULES[rule].checks


def test_every_check_can_fail() -> None:
    assert {name for _, name, _ in FAULTS} == {entry.name for entry in TREE.entries}


def test_what_has_no_saved_command_was_made_outside_if_changed() -> None:
    said = {SOURCE: "the build saved no command of it (if_changed)"}
    tried = found(replace(GOOD, command="", alone=NO_WORD, lying=NO_WORD, emptied=None))
    assert tried == {"tree.word-size": said, "tree.objdump": said, "tree.empty-areas": said}


def test_a_kernel_without_modules_shows_by_itself_that_it_builds() -> None:
    (check,) = (
        check for check in TREE.run(replace(GOOD, without_modules=None)) if check.name == "tree.without-modules"
    )
    assert (check.status, check.evidence) == (
        CheckStatus.PASS,
        "the kernel itself has no modules, and was built",
    )


def test_a_tree_that_makes_no_32_bit_kernel_is_not_judged_by_one() -> None:
    (check,) = (check for check in TREE.run(replace(GOOD, narrow_config={})) if check.name == "tree.thirty-two-bit")
    assert check.status is CheckStatus.SKIP


def test_a_32_bit_kernel_without_the_function_tracer_shows_nothing() -> None:
    """It could have no stubs in any tree; what it has all the same is a finding."""
    untraced = {"PPC32": "y", "FUNCTION_TRACER": "n"}
    (check,) = (
        check for check in TREE.run(replace(GOOD, narrow_config=untraced)) if check.name == "tree.thirty-two-bit"
    )
    assert (check.status, "function tracer" in check.evidence) == (CheckStatus.SKIP, True)
    assert found(replace(GOOD, narrow_config=untraced, narrow=[SOURCE_OBJECT])).keys() == {"tree.thirty-two-bit"}


def test_only_where_no_32_bit_kernel_has_the_function_tracer_is_it_not_due() -> None:
    """arch/powerpc/Kconfig gives it to those of gcc alone."""
    due = catalogue.named("tree.thirty-two-bit").due
    traced = {"DYNAMIC_FTRACE": "y", "PPC_FTRACE_OUT_OF_LINE": "y"}
    for compiler, is_due in (("CC_IS_GCC", True), ("CC_IS_CLANG", False)):
        assert due.holds(config={**traced, compiler: "y"}, traits={Trait.TREE}, release=(7, 3)) == is_due


def test_each_rule_that_a_finding_names_is_a_rule() -> None:
    """The module knows the rules by their names alone."""
    module = ast.parse(Path(tree_checks.__file__).read_text())
    named = {
        getattr(tree_checks, name.id)
        for keyword in ast.walk(module)
        if isinstance(keyword, ast.keyword) and keyword.arg == "rule"
        for name in ast.walk(keyword.value)
        if isinstance(name, ast.Name) and name.id.isupper()
    }
    assert named
    assert named == {rule.name for rule in RULES.values() if any(check.startswith("tree.") for check in rule.checks)}
