"""Damaged files: whatever stands in them, a reader reads or says BadInput, and needs neither memory nor time for it."""

import json
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oolong.audit import __main__ as program
from oolong.audit import guest_checks, guest_report
from oolong.audit import image as vmlinux
from oolong.audit.live_state import Live
from oolong.audit.survey import Survey
from oolong.binary import elf, structs
from oolong.errors import BadInput
from oolong.machine import memory
from tests import fuzz
from tests.fuzz import EXTREMES, OBJECTS, READERS
from tests.support import CHECKOUT

CONFIG = {"KPROBES_ON_FTRACE": "y"}
EXAMPLES, MANY = 250, 30000
QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)
bounded = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=QUIET)
long = settings(max_examples=MANY, deadline=None, derandomize=True, suppress_health_check=QUIET)
NUMBERS = {name: fuzz.fields((OBJECTS / name).read_bytes()) for name in READERS}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """(name, bytes) of a real file with up to six things wrong: numbers of its headers and tables, bytes, its end."""
    name = draw(st.sampled_from(list(READERS)))
    data = (OBJECTS / name).read_bytes()
    number = st.tuples(st.sampled_from(NUMBERS[name]), st.one_of(st.sampled_from(EXTREMES), st.integers(0, len(data))))
    for (at, size), value in draw(st.lists(number, max_size=4)):
        data = fuzz.put(data, at, size, value)
    for at, change in draw(
        st.lists(st.tuples(st.integers(0, len(data)), st.binary(min_size=1, max_size=8)), max_size=3)
    ):
        data = data[:at] + change + data[at + len(change) :]
    if draw(st.booleans()):
        return name, data
    return name, data[: draw(st.integers(0, len(data)))]


def survive(tmp_path: Path, one: tuple[str, bytes]) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(one[1])
    fuzz.survives(READERS[one[0]], path)


@bounded
@given(one=damaged())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, one: tuple[str, bytes]) -> None:
    survive(tmp_path, one)


@pytest.mark.full
@long
@given(one=damaged())
def test_many_damaged_files_are_read_or_refused(tmp_path: Path, one: tuple[str, bytes]) -> None:
    survive(tmp_path, one)


def test_huge_numbers_need_no_memory() -> None:
    """Each number of each header and table as large as can be, read by a process that may have 1 GB and four minutes
    of CPU time."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@bounded
@given(
    edits=st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)), max_size=6),
    keep=st.integers(0, 1 << 16),
)
def test_a_damaged_memory_file_is_read_or_refused(tmp_path: Path, edits: list[tuple[int, bytes]], keep: int) -> None:
    path = tmp_path / "memory"
    page = bytes(range(256)) * (memory.PAGE // 256)
    memory.write(path, [memory.Snapshot("off", {0: page, memory.PAGE: bytes(memory.PAGE)})])
    data = path.read_bytes()
    for at, change in edits:
        data = data[: at % len(data)] + change + data[at % len(data) + len(change) :]
    path.write_bytes(data[: 1 + keep % len(data)])
    try:
        found = memory.load(path)
    except BadInput:
        return
    assert all(len(page) == memory.PAGE for one in found for page in one.pages.values())


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inside: st.one_of(
        st.lists(inside, max_size=3),
        st.dictionaries(st.sampled_from(["structs", "enums", "constants", "size", "members", "offset", "x"]), inside),
    ),
    max_leaves=12,
)


@bounded
@given(document=JSON)
def test_any_json_is_offsets_or_refused(tmp_path: Path, document: object) -> None:
    path = tmp_path / "offsets.json"
    path.write_text(json.dumps(document))
    try:
        found = structs.load(path)
    except BadInput:
        return
    assert structs.parse(found.as_json()) == found


@pytest.mark.parametrize(
    "text", ['{"structs": {"a": {"size": Infinity, "members": {}}}, "enums": {}, "constants": {}}', "[" * 100000]
)
def test_numbers_and_nests_that_no_kernel_has_are_no_offsets(tmp_path: Path, text: str) -> None:
    path = tmp_path / "offsets.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="no offsets"):
        structs.load(path)


LINES = st.one_of(
    st.sampled_from(
        [
            f"== {name}@{stop}"
            for name in (guest_report.TOTAL, guest_report.ENABLED, guest_report.TOUCHED)
            for stop in ("off", "all", "off-again")
        ]
    ),
    st.sampled_from(
        [f"== {name}" for name in (guest_report.AVAILABLE, guest_report.WITH_ADDRESSES, guest_report.PROBES)]
    ),
    st.from_regex(r"count \d{1,5000}", fullmatch=True),
    st.from_regex(r"block \d{1,50} [0-9a-f]{1,50}", fullmatch=True),
    st.from_regex(r"__ftrace_invalid_address___\d{1,50}", fullmatch=True),
    st.from_regex(r"[a-z_]{1,8}( \[[a-z]{1,4}\])? ?\(\d{1,5000}\) [RIDOM ]{0,9}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{1,40} [a-z_]{1,8}", fullmatch=True),
    st.text(max_size=30),
)


@bounded
@given(report=st.lists(LINES, max_size=12).map("\n".join))
def test_whatever_a_guest_says_is_checked(report: str) -> None:
    image = vmlinux.read(OBJECTS / "image-le")
    found = Survey(name="off", records=(), groups=(), ops=(), modules=(), code=image.code)
    seen = Live(image, structs.NOTHING, [found], due=())
    assert [one.name for one in guest_checks.checks(seen, guest_report.told(report, {}, CONFIG))] == [
        entry.name for group in guest_checks.GUEST for entry in group.entries
    ]


@pytest.mark.parametrize("digits", ["9" * 5000, "1" * 10])
def test_a_number_without_end_is_no_count(digits: str) -> None:
    image = vmlinux.read(OBJECTS / "image-le")
    found = Survey(name="off", records=(), groups=(), ops=(), modules=(), code=image.code)
    enabled = f"== {guest_report.ENABLED}@off\ncount {digits}\nfoo ({digits}) R\n"
    report = f"== {guest_report.TOTAL}@off\n{digits} pages\n{enabled}"
    done = {
        one.name: one
        for one in guest_checks.checks(
            Live(image, structs.NOTHING, [found], due=()), guest_report.told(report, {}, CONFIG)
        )
    }
    assert done["guest.total"].victims == ("off",)


def test_a_small_file_that_says_it_is_huge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    for bomb in fuzz.bombs():
        path.write_bytes(bomb)
        with pytest.raises(BadInput, match="not a memory file"):
            memory.load(path)


def test_sections_on_top_of_each_other_are_refused(tmp_path: Path) -> None:
    """Whoever reads every symbol table of a file would read the same bytes once for each of its section headers."""
    data = (OBJECTS / "image-le").read_bytes()
    (start,), (count,) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<H", data, 60)
    for number in range(1, count):
        header = start + 64 * number
        data = fuzz.put(fuzz.put(data, header + 24, 8, 0), header + 32, 8, len(data))
    path = tmp_path / "piled"
    path.write_bytes(data)
    with pytest.raises(BadInput, match="on top of each other"), elf.opened(path):
        pass


def test_a_name_without_end_is_refused(tmp_path: Path) -> None:
    data = (OBJECTS / "image-le").read_bytes()
    with elf.opened(OBJECTS / "image-le") as file:
        (strings,) = file.named(".strtab")
    path = tmp_path / "long"
    path.write_bytes(data[: strings.offset + 1] + b"x" * (strings.size - 1) + data[strings.offset + strings.size :])
    with pytest.raises(BadInput, match="name"):
        vmlinux.read(path)


def test_all_relocations_at_one_place_are_read_once(tmp_path: Path) -> None:
    """A list that is made anew for each of them would take hours."""
    data = (OBJECTS / "image-le").read_bytes()
    with elf.opened(OBJECTS / "image-le") as file:
        section = next(one for one in file.named(".rela.dyn"))
        image = vmlinux.image_of(file, "")
    header = struct.unpack_from("<Q", data, 40)[0] + 64 * section.index
    entry = struct.pack("<QQQ", image.table.start, vmlinux.RELATIVE, 0)
    count = 200_000
    path = tmp_path / "many"
    moved = fuzz.put(fuzz.put(data, header + 24, 8, len(data)), header + 32, 8, count * len(entry))
    path.write_bytes(moved + count * entry)
    assert vmlinux.read(path).relocations == {image.table.start: ((vmlinux.RELATIVE, 0),) * count}


def test_debug_information_that_is_not_in_the_file_is_refused(tmp_path: Path) -> None:
    data = (OBJECTS / "layout-le.o").read_bytes()
    with elf.opened(OBJECTS / "layout-le.o") as file:
        (section,) = file.named(".debug_info")
    header = struct.unpack_from("<Q", data, 40)[0] + 64 * section.index
    path = tmp_path / "absent.o"
    path.write_bytes(fuzz.put(fuzz.put(data, header + 4, 4, elf.SHT_NOBITS), header + 32, 8, 1 << 40))
    with pytest.raises(BadInput, match="not in the file"):
        fuzz.read_layout(path)


@pytest.mark.parametrize("place", ["object", "image"])
def test_the_program_says_one_line_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes((OBJECTS / "image-le").read_bytes()[:100])
    files = {"object": [broken, OBJECTS / "image-le"], "image": [OBJECTS / "le64.o", broken]}[place]
    assert program.main([str(file) for file in files]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "truncated" in said.err


def test_a_compressed_page_that_is_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    head = json.dumps([{"name": "off", "pages": [[0, 0]]}]).encode()
    path.write_bytes(memory.MAGIC + struct.pack(">Q", len(head)) + head + zlib.compress(bytes(100)))
    with pytest.raises(BadInput, match="does not hold"):
        memory.load(path)


def test_an_entry_that_names_an_earlier_one_as_its_next_is_refused(tmp_path: Path) -> None:
    """Its reader would go in circles."""
    name = OBJECTS / "layout-le.o"
    with name.open("rb") as stream:
        top = ELFFile(stream).get_dwarf_info(relocate_dwarf_sections=True)
        unit = next(top.iter_CUs())
        entry = next(one for one in unit.iter_DIEs() if "DW_AT_sibling" in one.attributes)
        first = next(unit.get_top_DIE().iter_children())
        place = entry.attributes["DW_AT_sibling"].offset
    with elf.opened(name) as file:
        (section,) = file.named(".debug_info")
    path = tmp_path / "circle.o"
    path.write_bytes(fuzz.put(name.read_bytes(), section.offset + place, 4, first.offset))
    with pytest.raises(BadInput, match="before the one before it"):
        fuzz.read_layout(path)


def test_what_a_section_says_it_holds_is_checked_before_it_is_read() -> None:
    with elf.opened(OBJECTS / "image-le") as file:
        (section,) = file.named(".rodata")
        with pytest.raises(BadInput, match="has no 1152921504606846976 addresses"):
            file.pointers(section, 0, 1 << 60)
        with pytest.raises(BadInput, match="truncated"):
            file.instruction(replace(section, size=1 << 40), 1 << 30)


def test_symbols_of_the_sections_beyond_the_usual_number_find_their_section(tmp_path: Path) -> None:
    """SHN_XINDEX: the section is in a table beside the symbols, read once for all of them."""
    data = (OBJECTS / "image-le").read_bytes()
    (start,), (count,) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<H", data, 60)
    with elf.opened(OBJECTS / "image-le") as file:
        before = list(file.named_symbols())
        (table,) = file.named(".symtab")
        sections = [fields[3] for _, _, _, fields in file._symbols()]
    indices = struct.pack(f"<{len(sections)}I", *sections)
    moved = bytearray(data)
    for number in range(len(sections)):
        at = table.offset + 24 * number + 6
        moved[at : at + 2] = struct.pack("<H", elf.SHN_XINDEX)
    headers = bytes(moved[start : start + 64 * count])
    added = struct.pack("<IIQQQQIIQQ", 0, elf.SHT_SYMTAB_SHNDX, 0, 0, len(data), len(indices), table.index, 0, 4, 4)
    grown = fuzz.put(bytes(moved) + indices + headers + added, 40, 8, len(data) + len(indices))
    path = tmp_path / "indexed"
    path.write_bytes(fuzz.put(grown, 60, 2, count + 1))
    with elf.opened(path) as file:
        assert list(file.named_symbols()) == before
