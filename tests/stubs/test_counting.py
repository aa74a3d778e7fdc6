import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oolong.binary import elf
from oolong.errors import BadInput
from oolong.stubs import counting
from oolong.stubs.counting import StubPlan
from tests.support import CHECKOUT, TEST_DATA

OBJECTS = TEST_DATA / "objects"
TEMPLATE = counting.TEMPLATE.read_text()
PLAIN = {".exit.text": 1, ".init.text": 1, ".text": 2, ".text.startup": 1, ".text.unlikely": 1}


@pytest.mark.parametrize(("name", "bits", "little"), [("le64", 64, True), ("be64", 64, False), ("be32", 32, False)])
def test_sites_are_counted_by_the_section_they_target(name: str, bits: int, little: bool) -> None:
    sites = counting.read_sites(OBJECTS / f"{name}.o")
    assert (sites.bits, sites.little, dict(sites.sections)) == (bits, little, PLAIN)
    planned = counting.plan(sites, reserve=1)
    assert (planned.text, planned.inittext, planned.exit, planned.total, planned.text_end) == (4, 2, 1, 6, 3)


@pytest.mark.parametrize("name", ["le64-sections", "be64-sections"])
def test_names_that_only_look_like_init_text_are_text(name: str) -> None:
    """`.text.startup_gfar` and `.text.foo_init_text` are text; a search in what objdump prints counts both as init."""
    planned = counting.plan(counting.read_sites(OBJECTS / f"{name}.o"), reserve=0)
    assert (planned.text, planned.inittext) == (6, 4)


@pytest.mark.parametrize("name", ["le64-by-function", "be64-by-function"])
def test_a_relocation_against_a_function_counts_in_its_section(name: str) -> None:
    planned = counting.plan(counting.read_sites(OBJECTS / f"{name}.o"), reserve=0)
    assert (planned.text, planned.inittext) == (4, 3)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("undefined", "its symbol is in no section"),
        ("beyond", "points nowhere"),
        ("between", "points nowhere"),
        ("data", "no code of .data"),
        ("relative", "relocation type 44"),
        ("no-relocation", "room for 1 entries but 0 relocations"),
        ("no-entries", "has no section __patchable_function_entries"),
    ],
)
def test_broken_entries_are_refused(name: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        counting.read_sites(OBJECTS / f"broken-{name}.o")


def variant(tmp_path: Path, name: str, at: int, data: bytes) -> Path:
    changed = bytearray((OBJECTS / name).read_bytes())
    changed[at : at + len(data)] = data
    path = tmp_path / name
    path.write_bytes(changed)
    return path


def first_symbol() -> int:
    """Where the first relocation of le64.o names its symbol: the upper half of r_info."""
    with elf.opened(OBJECTS / "le64.o") as file:
        (table, _), *_ = file.relocations_of(file.named(counting.ENTRIES)[0])
        return table.offset + 12


FIRST_SYMBOL = first_symbol()


def test_a_symbol_is_found_whose_name_another_one_ends_with() -> None:
    with elf.opened(OBJECTS / "le64-sections.o") as file:
        found = file.symbols_by_name(("setup", "a_setup", "up"))
    assert found.keys() == {"setup", "a_setup"}
    assert found["setup"].section != found["a_setup"].section


@pytest.mark.parametrize(
    ("name", "at", "data", "told"),
    [
        ("le64.o", 0, b"\x7fELG", "not an ELF file"),
        ("le64.o", 4, b"\x03", "neither ELF32 nor ELF64"),
        ("le64.o", 18, b"\x3e\x00", "another machine"),
        ("be64.o", 18, b"\x00\x14", "another machine"),
        ("le64.o", 16, b"\x02\x00", "a linked file"),
        ("le64.o", 60, b"\xff\xff", "truncated"),
        ("le64.o", 62, b"\x00\xf0", "no section holds the names"),
        ("le64.o", FIRST_SYMBOL, b"\xff\xff\xff\x00", "has no symbol"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path: Path, name: str, at: int, data: bytes, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        counting.read_sites(variant(tmp_path, name, at, data))


@pytest.mark.parametrize("size", [0, 3, 4, 5, 15, 16, 40, 200, 900])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.o"
    path.write_bytes((OBJECTS / "le64.o").read_bytes()[:size])
    with pytest.raises(BadInput):
        counting.read_sites(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["le64.o", "be64.o", "be32.o", "le64-sections.o"]),
    edits=st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
    keep=st.integers(0, 6000),
)
@example(name="le64.o", edits=[(40, b"\xff\xff\xff\xff\xff\xff\xff\xff")], keep=6000)
def test_garbage_is_refused_or_read_and_nothing_else(
    tmp_path: Path, name: str, edits: list[tuple[int, bytes]], keep: int
) -> None:
    data = bytearray((OBJECTS / name).read_bytes())
    for at, change in edits:
        data[at : at + len(change)] = change
    path = tmp_path / "garbage.o"
    path.write_bytes(data[:keep])
    try:
        sites = counting.read_sites(path)
    except BadInput:
        return
    assert all(count > 0 for count in sites.sections.values())
    assert counting.plan(sites, 0).total == sum(sites.sections.values())


@pytest.mark.parametrize(("text", "reserve", "text_end"), [(10, 0, 10), (10, 10, 0), (10, 11, 0), (10, 9, 1)])
def test_the_reserve_is_subtracted(text: int, reserve: int, text_end: int) -> None:
    assert StubPlan(text=text, inittext=3, exit=0, reserve=reserve).text_end == text_end


@pytest.mark.parametrize(("text", "inittext"), [(0, 0), (5, 0), (0, 5), (40000, 900)])
def test_the_source_says_what_the_plan_says(text: int, inittext: int) -> None:
    planned = StubPlan(text=text, inittext=inittext, exit=0, reserve=1)
    source = counting.render(planned, TEMPLATE)
    assert counting.counts_in(source) == {name: count for name, _, count in planned.areas}
    # an empty .space is a warning of the assembler, and the kernel makes warnings errors
    assert ".space 0" not in source


def test_a_count_that_no_kernel_has_is_none() -> None:
    assert counting.counts_in(f"SYM_DATA(a_count, .long {'9' * 5000})\nSYM_DATA(b_count, .long 3)\n") == {"b": 3}


def test_a_reserve_that_no_kernel_has_is_bad_input() -> None:
    done = program("--reserve", "9" * 4300, str(OBJECTS / "be64.o"))
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def program(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "oolong.stubs", *words]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def test_the_program_writes_source_and_json(tmp_path: Path) -> None:
    output = tmp_path / "vmlinux.arch.S"
    done = program("--reserve", "1", str(OBJECTS / "be64.o"), "-o", str(output), "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["sections"] == PLAIN
    assert document | {"sections": {}} == {
        "format": 1,
        "class": "ELF64",
        "endian": "be",
        "sections": {},
        "total": 6,
        "text": 4,
        "inittext": 2,
        "exit": 1,
        "reserve": 1,
        "text_end": 3,
    }
    assert counting.counts_in(output.read_text()) == {counting.TEXT_END: 3, counting.INITTEXT: 2}
    assert program("--reserve", "1", str(OBJECTS / "be64.o")).stdout == output.read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["--reserve", "1", str(OBJECTS / "broken-beyond.o")],
        ["--reserve", "1", str(OBJECTS / "no-such-file.o")],
        ["--reserve", "1", str(Path(__file__))],
        ["--reserve", "-1", str(OBJECTS / "le64.o")],
        ["--reserve", "many", str(OBJECTS / "le64.o")],
        [str(OBJECTS / "le64.o")],
    ],
)
def test_the_program_ends_with_2_and_writes_nothing(tmp_path: Path, words: list[str]) -> None:
    output = tmp_path / "vmlinux.arch.S"
    done = program(*words, "-o", str(output))
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = program("--reserve", "1", str(OBJECTS / "le64.o"), "-o", str(tmp_path / "file" / "x.S"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
