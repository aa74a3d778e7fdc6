"""Where a linker script puts the sections of vmlinux.o: scripts as the kernel's are, each with what the linker does."""

from dataclasses import replace

import pytest

from oolong.audit import linker_script, object, object_checks
from oolong.audit.check import CheckStatus
from oolong.audit.linker_script import EXIT, FIXED, INIT, TEXT, LinkerScript
from oolong.audit.object_checks import Compiled
from oolong.errors import BadInput
from tests.support import TEST_DATA

# written in the ways in which a preprocessed arch/powerpc/kernel/vmlinux.lds is
KERNEL = """
ENTRY(_stext)
PHDRS { text PT_LOAD FLAGS(7); note PT_NOTE FLAGS(0); }
OUTPUT_ARCH(powerpc:common64)
jiffies = jiffies_64;
SECTIONS
{
 . = 0xc000000000000000;
 _text = .;
 _stext = .;
 .head.text : AT(ADDR(.head.text) - (0xc000000000000000 -0x00000000)) {
  KEEP(*(.head.text.first_256B));
  *(.head.text.real_trampolines);
 } :text
 __head_end = .;
 .text ALIGN(0) : AT(ADDR(.text) - (0xc000000000000000 -0x00000000)) {
  *(.text.hot .text.hot.* .text .text.[_0-9A-Za-df-rt-z]* .text.s[_0-9A-Za-su-z]* .text.startup[_0-9A-Za-z]* .fixup);
  . = ALIGN(4); __noinstr_text_start = .; *(.noinstr.text) *(.sched.text) __noinstr_text_end = .;
  *(SORT_BY_NAME(.text.sorted.*) EXCLUDE_FILE(*vmlinux.o) .text.excluded .text.safter)
  *setup.o(.text.start)
  /* *(.text.start) */ BYTE(0x1) . = . + (1 << 2);
 } :text
 . = ALIGN((1 << 16));
 _etext = .;
 .rodata : { *(.rodata) KEEP(*(SORT(___ksymtab+*))) } :text :note __restore_ph : { *(.__restore_ph) } :text
 .init.text : {
  _sinittext = .;
  *(.init.text .init.text.*) *(.text.startup .text.startup.*)
  _einittext = .;
 } :text =0x60000000
 .exit.text : { __exittext_begin = .; *(.exit.text) *(.text.exit .text.exit.*) __exittext_end = .; }
 ASSERT((_etext > _stext), "no text")
 /DISCARD/ : { *(.discard) *(.discard.*) *(.late) }
 .late : { *(.late .late[^x] .t[!x]xt) }
}
"""
# as before 1ba9f8979426 in the releases whose TEXT_MAIN was like that
SWALLOWS = KERNEL.replace(".text.startup[_0-9A-Za-z]*", ".text.startup .text.startup.*")


def kernel(text: str = KERNEL) -> LinkerScript:
    return linker_script.parse(text, told="vmlinux.lds")


@pytest.mark.parametrize(
    ("section", "place"),
    [
        (".head.text.first_256B", TEXT),
        (".head.text.real_trampolines", TEXT),
        (".head.text", None),
        (".text", TEXT),
        (".text.hot.x", TEXT),
        (".text.unlikely.", TEXT),
        (".text.startup_gfar", TEXT),
        (".text.startup", INIT),
        (".text.startup.f", INIT),
        (".text.start", None),
        (".init.text.f", INIT),
        (".text..x", None),
        (".noinstr.text", TEXT),
        (".sched.text", TEXT),
        (".sched.text.f", None),
        (".text.sorted.f", TEXT),
        (".text.excluded", None),
        (".text.safter", TEXT),
        (".exit.text", EXIT),
        (".exit.text.f", None),
        (".text.exit.f", EXIT),
        (".rodata", ".rodata"),
        ("___ksymtab+x", ".rodata"),
        (".__restore_ph", "__restore_ph"),
        (".discard.text", "/DISCARD/"),
        (".meminit.text", None),
        (".devexit.text", None),
        (".late", "/DISCARD/"),
        (".latey", ".late"),
        (".latex", None),
        (".taxt", ".late"),
        (".txxt", None),
        ("", None),
    ],
)
def test_the_first_description_that_matches_takes_a_section(section: str, place: str | None) -> None:
    assert kernel().place_of(section) == place


@pytest.mark.parametrize(
    ("section", "place"),
    [
        (".text.unlikely", TEXT),
        (".text.startup_gfar", TEXT),
        (".text.startup.f", INIT),
        (".sched.text", TEXT),
        (".sfpr", TEXT),
        (".text.exit", EXIT),
        *((name, None) for name in (".discard.text", ".meminit.text", ".devexit.text", ".text..x", ".exit.text.x")),
        *((name, None) for name in (".textual", ".init.data", ".text.", ".odd", "")),
    ],
)
def test_the_script_of_7_3_4_stands_in(section: str, place: str | None) -> None:
    assert FIXED.place_of(section) == place


def placed(name: str, script: LinkerScript) -> tuple[CheckStatus, str]:
    """What comes of the check for one entry that points into a section."""
    found = object.read(TEST_DATA / "audit" / "object-healthy-le.o")
    one = object.Entry("section 1", 0, 38, 0, 0)
    check = object_checks.sections(Compiled(replace(found, entries=(one,), names=(name,)), script=script))
    return check.status, check.evidence


@pytest.mark.parametrize(
    ("name", "script", "told"),
    [
        (".text.startup.f", SWALLOWS, "1 entries are counted for init text, and the linker script puts them into text"),
        (".discard.text", KERNEL, "counted for text, and the linker script puts them into /DISCARD/"),
        (".meminit.text", KERNEL, "counted for text, and the linker script places no such section"),
        (".startup", KERNEL.replace("*(.init.text ", "*(.startup "), "text, and the linker script puts them into init"),
        (".text.f", KERNEL, ""),
        (".text.exit.f", KERNEL, ""),
        (".init.text", KERNEL, ""),
    ],
)
def test_sites_are_counted_where_the_linker_puts_them(name: str, script: str, told: str) -> None:
    status, evidence = placed(name, kernel(script))
    assert (status is CheckStatus.FAIL) == bool(told)
    assert told in evidence
    assert told or evidence.endswith(", by vmlinux.lds")


def test_it_is_said_where_the_script_of_another_release_stands_in() -> None:
    assert placed(".text", FIXED) == (
        CheckStatus.PASS,
        "1 in text, 0 of them in exit text, 0 in init text, by the scripts of Linux 7.3.4",
    )


@pytest.mark.parametrize("text", ["", "SECTIONS { .text : { *(.text) } }", KERNEL[: len(KERNEL) // 2]])
def test_what_is_no_script_of_a_kernel_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"vmlinux\.lds"):
        kernel(text)


def test_patterns_that_match_in_many_ways_take_no_time() -> None:
    found = kernel(KERNEL.replace(".text.hot ", f"{'*a' * 200}b "))
    assert found.place_of(".text." + "a" * 1000) == TEXT
