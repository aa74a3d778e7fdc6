"""Saved commands, traces and databases of make, as make 4.4 and Kbuild write them."""

from collections.abc import Callable

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
    assert rules.saved_command(COMMANDS.removeprefix("saved"), "a/x.o") == command


@pytest.mark.parametrize(
    ("saved", "command"),
    [("$$(pound)", "$(pound)"), ("$(pound)", "#"), ("$$$(pound)", "$#"), ("$$$$", "$$"), ("$$(x)", "$(x)")],
)
def test_each_escape_of_a_saved_command_is_undone_once(saved: str, command: str) -> None:
    """make-cmd of scripts/Kbuild.include doubles each $, and then writes $(pound) for each #."""
    assert command.replace("$", "$$").replace("#", "$(pound)") == saved
    assert rules.saved_command(f"savedcmd_a := echo {saved}\n", "a") == f"echo {command}"


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


ENTRY = "arch/powerpc/kernel/trace/ftrace_entry.o"
SAVED = f"""savedcmd_{ENTRY} := ccache powerpc64le-linux-gnu-gcc \
-Wp,-MMD,arch/powerpc/kernel/trace/.ftrace_entry.o.d -nostdinc -I/src/include -D__ASSEMBLY__ -DHASH='"$(pound)"' \
   -DPID=$$0 \
   -DKBUILD_MODFILE='"arch/powerpc/kernel/trace/ftrace_entry"' -c -o {ENTRY} \
/src/arch/powerpc/kernel/trace/ftrace_entry.S @AFTER@

source_{ENTRY} := /src/arch/powerpc/kernel/trace/ftrace_entry.S
deps_{ENTRY} := a.h
""".replace("\\\n", "")


@pytest.mark.parametrize("flag", ["-Wp,-MMD,", "-Wp,-MD,"])
@pytest.mark.parametrize("after", ["", f"; ./tools/objtool/objtool --mcount {ENTRY}"])
def test_another_source_is_assembled_as_kbuild_assembled_one(after: str, flag: str) -> None:
    saved = rules.saved_command(SAVED.replace("@AFTER@", after).replace("-Wp,-MMD,", flag), ENTRY)
    assert rules.assembling(saved, "/out/a.S", "/out/a.o") == (
        "powerpc64le-linux-gnu-gcc", "-nostdinc", "-I/src/include", "-D__ASSEMBLY__", '-DHASH="#"', "-DPID=$0",
        '-DKBUILD_MODFILE="arch/powerpc/kernel/trace/ftrace_entry"', "-c", "-o", "/out/a.o", "/out/a.S",
    )  # fmt: skip


@pytest.mark.parametrize("saved", ["", "gcc -c -o x.o x.c", "gcc ' -c -o x.o x.S", "-c -o x.o x.S"])
@pytest.mark.parametrize("change", [rules.assembling, rules.preprocessing])
def test_what_is_no_command_of_an_object_in_assembly_is_refused(
    change: Callable[[str, str, str], tuple[str, ...]], saved: str
) -> None:
    with pytest.raises(ValueError, match=r"command of an object|No closing quotation"):
        change(saved, "/out/a.S", "/out/a.o")
