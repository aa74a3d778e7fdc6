"""Saved commands, traces and databases of make, as make 4.4 and Kbuild write them."""

import pytest

from oolong.kbuild import rules

COMMANDS = """\
savedcmd_a/x.o := gcc -Wp,-MMD,a/.x.o.d -I./include -DNAME='"x$$y$(pound)z"' -c -o a/x.o /src/a/x.S

source_a/x.o := /src/a/x.S
"""
DATABASE = """\
# Variables
MAKEFLAGS = np -- FORCE:=1
tools := arch/powerpc/tools/not.o
# Files
vmlinux: vmlinux.unstripped FORCE
	$(call if_changed,strip) arch/powerpc/tools/recipe.o: x
# Not a target:
arch/powerpc/tools/vmlinux.arch.o: vmlinux.o FORCE
#  Implicit rule search has not been done.
vmlinux.unstripped: scripts/link-vmlinux.sh vmlinux.o arch/powerpc/tools/vmlinux.arch.o FORCE
"""


def test_a_saved_command_is_what_the_shell_is_given() -> None:
    command = rules.saved_command(COMMANDS, "a/x.o")
    assert command.endswith("""-DNAME='"x$y#z"' -c -o a/x.o /src/a/x.S""")
    assert rules.saved_command(COMMANDS, "a/y.o") == rules.saved_command("", "a/x.o") == ""


@pytest.mark.parametrize(("target", "file"), [("a/b/x.S", "a/b/.x.S.cmd"), ("a/.x.S", "a/..x.S.cmd")])
def test_the_command_of_a_target_lies_beside_it(target: str, file: str) -> None:
    assert rules.command_file(target) == file


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/src/scripts/Makefile.build:441: update target 'a/x.o' due to: a/x.S", ("a/x.o", "scripts/Makefile.build")),
        ("scripts/Makefile.build:441: target 'a/x.o' does not exist", ("a/x.o", "scripts/Makefile.build")),
        ("make[2]: 'a/x.o' is up to date.", None),
        ("  LD      vmlinux", None),
    ],
)  # fmt: skip
def test_a_trace_says_where_a_recipe_stands(line: str, expected: tuple[str, str] | None) -> None:
    assert rules.traced(line, "/src") == expected


def test_a_database_says_what_targets_need() -> None:
    assert rules.needed(DATABASE, "arch/powerpc/tools/") == ("arch/powerpc/tools/vmlinux.arch.o",)
    assert rules.needed(DATABASE.replace("vmlinux.o arch/powerpc/tools/vmlinux.arch.o", "vmlinux.o"), "arch/") == ()


@pytest.mark.parametrize("after", ["", " ; ./tools/objtool/objtool --mcount a/x.o"])
def test_a_saved_command_preprocesses_another_source(after: str) -> None:
    command = f"ccache gcc -Wp,-MMD,a/.x.o.d -I./include -DNAME='\"x\"' -c -o a/x.o /src/a/x.S{after}"
    assert rules.preprocessing(command, "/trial/y.S", "/trial/y.s") == (
        "ccache", "gcc", "-I./include", '-DNAME="x"', "-E", "-o", "/trial/y.s", "/trial/y.S",
    )  # fmt: skip
