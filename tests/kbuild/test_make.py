"""The command lines, against the facts that they rest on."""

from pathlib import Path

import pytest

from oolong.kbuild import make as kbuild
from oolong.kbuild.log import causes, culprits, left_out
from oolong.spec.model import Endian
from tests.cells import cell


def test_each_endianness_has_its_compiler() -> None:
    assert "CC=ccache powerpc64le-linux-gnu-gcc" in kbuild.make(cell(Endian.LE))
    assert "CROSS_COMPILE=powerpc64-linux-gnu-" in kbuild.make(cell(Endian.BE))


def test_no_word_holds_a_path_of_the_host() -> None:
    for argv in (kbuild.compile_argv(cell()), kbuild.link(cell(), our_stubs=True), *kbuild.configure(cell())):
        assert all("/" not in word or any(inside in word for inside in ("/src", "/build", "/stubs", "/request"))
                   for word in argv)  # fmt: skip


def test_configure_reads_kconfig_once_for_allnoconfig_and_settles_other_bases() -> None:
    assert [argv[-1] for argv in kbuild.configure(cell())] == ["allnoconfig"]
    assert [argv[-1] for argv in kbuild.configure(cell(base="ppc64le_guest_defconfig"))] == [
        "ppc64le_guest_defconfig",
        "olddefconfig",
    ]
    assert [argv[-1] for argv in kbuild.configure(cell(base=Path("/some/.config")))] == ["olddefconfig"]


def test_our_stubs_override_one_rule_and_the_tree_keeps_it_otherwise() -> None:
    ours = [word for word in kbuild.link(cell(), our_stubs=True) if word.startswith("cmd_")]
    assert ours == ["cmd_gen_ftrace_ool_stubs=cp /stubs/vmlinux.arch.S $@"]
    assert not any(word.startswith("cmd_") for word in kbuild.link(cell(), our_stubs=False))


def test_no_job_count_reaches_a_recipe() -> None:
    assert not any(word.startswith("-j") for word in kbuild.compile_argv(cell()))


def test_the_release_string_can_take_nothing_from_the_machine() -> None:
    assert "LOCALVERSION=" in kbuild.make(cell())
    assert "CONFIG_LOCALVERSION_AUTO is not set" in kbuild.FIXED_CONFIG


def test_culprits_are_the_first_errors() -> None:
    log = ["  CC      a.o", "kernel/fork.c:1:2: error: expected ';'", "make[2]: *** [x] Error 1", "  CC      b.o"]
    assert culprits(log) == (log[1], log[2])


def test_without_an_error_line_the_end_is_shown() -> None:
    assert culprits([f"line {number}" for number in range(30)])[-1] == "line 29"
    assert len(culprits([f"line {number}" for number in range(30)])) == 20


def test_a_file_named_error_is_no_error() -> None:
    assert culprits(["  CC      fs/error.o", "a.c:1: error: bad"]) == ("a.c:1: error: bad",)


# as GNU as and GNU make say it
FATAL_WARNING = [
    "  AS      a.o",
    "/src/a.S:465: Warning: .space repeat count is zero, ignored",
    "/tmp/cc.s: Error: 1 warning, treating warnings as errors",
    "make[6]: *** [/src/scripts/Makefile.build:442: a.o] Error 1",
    "make[5]: *** Waiting for unfinished jobs....",
    "make: *** [Makefile:260: __sub-make] Error 2",
]


def test_a_warning_is_a_culprit_only_where_it_is_an_error() -> None:
    assert culprits(FATAL_WARNING) == tuple(FATAL_WARNING[1:])
    assert culprits([FATAL_WARNING[1], *FATAL_WARNING[3:]]) == tuple(FATAL_WARNING[3:])


def test_causes_leave_out_that_make_passes_a_failure_on() -> None:
    assert causes(FATAL_WARNING[1:]) == tuple(FATAL_WARNING[1:3])
    assert causes(FATAL_WARNING[3:]) == tuple(FATAL_WARNING[3:])
    missing = "make[1]: *** No rule to make target 'a.c', needed by 'a.o'.  Stop."
    killed = "make[1]: *** [Makefile:1: b.o] Killed"
    assert causes([missing, killed, *FATAL_WARNING[3:]]) == (missing, killed)


# two failures side by side, as make tells of them
KNOWN = [
    "arch/powerpc/kernel/trace/ftrace_entry.S:465: Warning: .space repeat count is zero, ignored",
    "/tmp/cc.s: Error: 1 warning, treating warnings as errors",
]
KNOWN_PASSED_ON = [
    "make[6]: *** [/src/scripts/Makefile.build:442: arch/powerpc/kernel/trace/ftrace_entry.o] Error 1",
    "make[5]: *** [/src/scripts/Makefile.build:556: arch/powerpc/kernel/trace] Error 2",
    "make[4]: *** [/src/scripts/Makefile.build:556: arch/powerpc/kernel] Error 2",
    "make[3]: *** [/src/scripts/Makefile.build:556: arch/powerpc] Error 2",
]
SECOND = "make[4]: *** [/src/kernel/Makefile:10: kernel/timeconst.h] Error 1"
TOP = ["make[2]: *** [/src/Makefile:2253: .] Error 2", "make: *** [Makefile:260: __sub-make] Error 2"]


@pytest.mark.parametrize(
    "second",
    [
        SECOND,
        SECOND.replace("Error 1", "Error 2"),
        "make[4]: *** [kernel/timeconst.h] Error 1",
        "make[4]: *** [x] Error 127",
    ],
)
def test_a_failure_of_which_only_make_tells_is_a_cause_of_its_own(second: str) -> None:
    said = ["Traceback (most recent call last):", "ValueError: bad table", second]
    parent = "make[3]: *** [/src/scripts/Makefile.build:556: kernel] Error 2"
    assert causes(culprits([*KNOWN, *KNOWN_PASSED_ON, *said, parent, *TOP])) == (*KNOWN, second)
    assert causes(culprits([*said, parent, *KNOWN, *KNOWN_PASSED_ON, *TOP])) == (second, *KNOWN)


@pytest.mark.parametrize(
    "own",
    [
        (*KNOWN, KNOWN_PASSED_ON[0]),
        ("make[6]: *** No rule to make target 'arch/powerpc/kernel/trace/a.c', needed by 'arch/powerpc/a.o'.  Stop.",),
        ("make[6]: *** [/src/scripts/Makefile.build:442: arch/powerpc/kernel/trace/a.o] Killed",),
        ("/src/arch/powerpc/kernel/trace/Makefile:12: *** missing separator.  Stop.",),
    ],
)
def test_folders_that_make_went_down_into_are_no_causes(own: tuple[str, ...]) -> None:
    kept = tuple(line for line in own if line not in KNOWN_PASSED_ON)
    assert causes(culprits([*own, *KNOWN_PASSED_ON[1:], *TOP])) == kept


def test_a_failure_of_which_only_make_tells_is_counted_where_it_is_left_out() -> None:
    errors = [f"a.c:{number}: error: bad" for number in range(20)]
    passed_on = "make[6]: *** [Makefile:1: a.o] Error 1"
    assert left_out(culprits([*errors, passed_on, *TOP])) == 0
    assert left_out(culprits([*errors, passed_on, SECOND, *TOP])) == 1


def test_a_line_among_the_first_of_a_long_log_is_a_culprit() -> None:
    """Its command kept the last lines alone."""
    error = "kernel/fork.c:1:2: error: expected ';'"
    log = [error, *(f"  CC      {number}.o" for number in range(1000)), "make: *** [x] Error 1"]
    assert culprits(log[-400:], said=(f"{line}\n" for line in log)) == (error, log[-1])
    assert culprits(log[1:20], said=(f"{line}\n" for line in log[1:20])) == tuple(log[1:20])


def test_culprits_that_are_left_out_are_counted() -> None:
    errors = [f"a.c:{number}: error: bad" for number in range(23)]
    assert culprits(errors[:20])[-1] == errors[19]
    assert culprits([*errors, "make: *** [a.o] Error 1"]) == (*errors[:20], "… and 3 more in the log")
    assert [left_out(culprits(errors[:number])) for number in (0, 20, 21, 23)] == [0, 0, 1, 3]
