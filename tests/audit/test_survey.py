"""What is read of a guest's memory, from guests made by hand whose structures have a layout of their own."""

from array import array
from collections.abc import Callable
from dataclasses import replace

import pytest

from oolong.audit import survey as surveying
from oolong.audit.image import Code
from oolong.audit.module_layout import WAY_BYTES
from oolong.audit.survey import (
    MOST_BITS,
    MOST_BYTES,
    MOST_MODULES,
    MOST_OTHER_RECORDS,
    MOST_READS,
    Ops,
    Record,
    Survey,
    survey,
)
from oolong.binary.structs import NOTHING, Field, Offsets, Struct
from oolong.errors import BadOutput
from oolong.machine.memory import PAGE, Unreadable
from oolong.machine.stops import ALL, INIT_MEMORY, MODULE, OFF
from tests.guests import (
    CALL_OPS,
    CALL_OPS_EN,
    ENABLED,
    FAR,
    MODULES,
    OFFSETS,
    STUBS_AT,
    TOUCHED,
    TRAMP_AT,
    Guest,
    Loaded,
    Tracer,
    image_of,
    ip_of,
)

ENDS = pytest.mark.parametrize("little", [True, False], ids=["le", "be"])
WILD = 0xC00F_0000_0000_0000


def busy(little: bool = True) -> Guest:
    image = image_of(little)
    first, second, third = (ip_of(image, name) for name in ("plain_one", "with_toc", "plain_two"))
    tracers = [
        Tracer(traced=frozenset({first, second, third}), spared=frozenset({third})),
        Tracer(traced=frozenset({second}), direct={second: FAR}),
    ]
    return Guest(image, MODULE, tracers, [Loaded(name="one"), Loaded(name="two", base=MODULES + (1 << 20))])


@ENDS
def test_records_are_read_group_by_group(little: bool) -> None:
    guest = busy(little)
    found = guest.survey()
    text = [site.ip for site in guest.image.sites if guest.image.area_of(site.ip) == "text"]
    modules = [MODULES + (number << 20) + at for number in (0, 1) for at in (0, 0x40)]
    assert [record.ip for record in found.records] == text + modules
    assert found.groups == (2, len(text) - 2, 2, 2)
    assert [[record.ip for record in group] for group in found.by_group()] == [
        text[:2],
        text[2:],
        modules[:2],
        modules[2:],
    ]
    assert found.records[0] == Record(
        ip=text[0],
        flags=ENABLED | TOUCHED | CALL_OPS | CALL_OPS_EN | 1,
        stub=guest.image.areas["ftrace_ool_stub_text"].address + 8,
    )


@ENDS
def test_ops_are_read_with_their_hashes(little: bool) -> None:
    guest = busy(little)
    first, second, third = (ip_of(guest.image, name) for name in ("plain_one", "with_toc", "plain_two"))
    one, other = guest.survey().ops
    assert (one.address, one.traced, one.spared, one.direct) == (
        guest.ops[0],
        frozenset({first, second, third}),
        frozenset({third}),
        {},
    )
    assert [one.takes(ip) for ip in (first, second, third, WILD)] == [True, True, False, False]
    assert (other.traced, other.spared, other.direct) == (frozenset({second}), frozenset(), {second: FAR})


@ENDS
def test_an_empty_hash_takes_everything(little: bool) -> None:
    (ops,) = Guest(image_of(little), ALL, [Tracer()]).survey().ops
    assert (ops.traced, ops.takes(WILD)) == (frozenset(), True)


@ENDS
def test_modules_are_read_in_their_order(little: bool) -> None:
    found = busy(little).survey()
    assert [module.name for module in found.modules] == ["one", "two"]
    module = found.modules[0]
    assert (module.text, module.tramp, module.tramp_regs) == (
        (MODULES, MODULES + 0x1000),
        MODULES + TRAMP_AT,
        MODULES + TRAMP_AT + WAY_BYTES,
    )
    assert (module.stubs, module.stub_count, module.stubs_used) == (MODULES + STUBS_AT, 3, 3)
    assert found.module_at(MODULES + 0xFFC) == module
    assert found.module_at(MODULES + 0x1000) is None


@ENDS
def test_code_is_that_of_text_and_modules_and_at_first_of_init(little: bool) -> None:
    image = image_of(little)
    early, late = Guest(image, INIT_MEMORY).survey(), Guest(image, OFF, (), [Loaded()]).survey()
    setup = ip_of(image, "setup")
    assert (early.code.word(setup), late.code.word(setup)) == (0x60000000, None)
    assert (early.code.word(MODULES), late.code.word(MODULES)) == (None, 0x60000000)


def test_a_kernel_without_modules_has_none() -> None:
    guest = Guest(image_of(True), OFF)
    addresses = {name: at for name, at in guest.image.addresses.items() if name != "modules"}
    guest.image = replace(guest.image, addresses=addresses)
    assert guest.survey().modules == ()


@pytest.mark.parametrize("name", ["ftrace_pages_start", "ftrace_ops_list", "ftrace_list_end"])
def test_a_kernel_without_ftraces_lists_is_refused(name: str) -> None:
    guest = Guest(image_of(True), OFF)
    guest.image = replace(guest.image, addresses={one: at for one, at in guest.image.addresses.items() if one != name})
    with pytest.raises(BadOutput, match=f"no symbol {name}"):
        guest.survey()


def record_of(size: int, **members: tuple[int, int]) -> Offsets:
    own = {name.replace("_", ".", 1) if name.startswith("arch") else name: Field(*at) for name, at in members.items()}
    return replace(OFFSETS, structs={**OFFSETS.structs, "dyn_ftrace": Struct(size=size, members=own)})


@pytest.mark.parametrize(
    ("offsets", "told"),
    [
        (NOTHING, "no struct"),
        (record_of(48, ip=(8, 8), arch_ool_stub=(32, 8)), "no member flags"),
        (record_of(48, ip=(8, 8), flags=(24, 4), arch_ool_stub=(32, 8)), "unknown layout"),
        (record_of(48, ip=(24, 8), flags=(8, 8), arch_ool_stub=(32, 8)), "unknown layout"),
        (record_of(32, ip=(8, 8), flags=(16, 8), arch_ool_stub=(32, 8)), "its members reach to 40"),
    ],
)
def test_a_layout_that_no_kernel_has_is_refused(offsets: Offsets, told: str) -> None:
    with pytest.raises(BadOutput, match=told):
        Guest(image_of(True), OFF).survey(offsets)


def test_records_of_a_kernel_without_stubs_have_none() -> None:
    """The member that says where the stub is, is only there with out-of-line ftrace."""
    found = Guest(image_of(True), OFF).survey(record_of(48, ip=(8, 8), flags=(24, 8)))
    assert [(record.ip, record.stub) for record in found.records] == [
        (record.ip, 0) for record in Guest(image_of(True), OFF).survey().records
    ]


def group_loop(guest: Guest) -> None:
    guest.member(guest.groups[-1], "ftrace_page", "next", guest.groups[0])


def group_huge(guest: Guest) -> None:
    guest.member(guest.groups[1], "ftrace_page", "index", MOST_OTHER_RECORDS + 100)


def ops_loop(guest: Guest) -> None:
    guest.member(guest.ops[1], "ftrace_ops", "next", guest.ops[0])


def entry_loop(guest: Guest) -> None:
    guest.number(guest.entries[0], guest.entries[0])


def bucket_twice(guest: Guest) -> None:
    buckets = survey_number(guest, guest.hashes[0] + OFFSETS.offset("ftrace_hash", "buckets"))
    guest.number(buckets + OFFSETS.size("hlist_head"), guest.entries[0])


def buckets_huge(guest: Guest) -> None:
    guest.member(guest.hashes[0], "ftrace_hash", "size_bits", (1 << 64) - 1)


def buckets_many(guest: Guest) -> None:
    guest.member(guest.hashes[0], "ftrace_hash", "size_bits", MOST_BITS + 1)


def module_loop(guest: Guest) -> None:
    link = OFFSETS.offset("module", "list")
    guest.number(guest.modules[1] + link, guest.modules[0] + link)


def module_huge(guest: Guest) -> None:
    memory = guest.modules[0] + OFFSETS.offset("module", "mem")
    guest.member(memory, "module_memory", "size", 2 * MOST_BYTES)


def survey_number(guest: Guest, at: int) -> int:
    return int.from_bytes(guest.snapshot().read(at, 8), "little" if guest.image.little else "big")


@ENDS
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (group_loop, "list of groups of records .* no end"),
        (group_huge, "more than 32773 records, with a group of 32868"),
        (ops_loop, "list of ops .* no end"),
        (entry_loop, "list of entries of a hash .* no end"),
        (bucket_twice, "list of entries of a hash .* no end"),
        (buckets_huge, r"a hash of 2\^18446744073709551615 buckets"),
        (buckets_many, r"a hash of 2\^21 buckets"),
        (module_loop, "list of modules .* no end"),
        (module_huge, "ask for more than 16 MiB"),
    ],
)
def test_lists_that_no_kernel_has_end(little: bool, damage: Callable[[Guest], None], told: str) -> None:
    guest = busy(little)
    damage(guest)
    with pytest.raises(BadOutput, match=told):
        guest.survey()


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        ("ftrace_page", "next"),
        ("ftrace_page", "records"),
        ("ftrace_ops", "next"),
        ("ftrace_ops", "func_hash"),
        ("ftrace_hash", "buckets"),
    ],
)
def test_a_pointer_that_leads_nowhere_is_unreadable(kind: str, member: str) -> None:
    guest = busy()
    at = {"ftrace_page": guest.groups, "ftrace_ops": guest.ops, "ftrace_hash": guest.hashes}[kind][0]
    guest.member(at, kind, member, WILD)
    with pytest.raises(Unreadable, match=f"{WILD >> 24:x}"):
        survey(guest.stop, guest.snapshot(), guest.image, OFFSETS)


class Wild:
    """A guest's memory, and from WILD on pages that are made up while they are read, each with what `fill` puts there.

    `fill` takes the address of a page, and writes by `put` (where, number, bytes)."""

    def __init__(self, guest: Guest, fill: Callable[[int, Callable[[int, int, int], None]], None]) -> None:
        self._known, self._fill, self._order = guest.snapshot(), fill, "little" if guest.image.little else "big"
        self.reads = 0
        self.pages: set[int] = set()
        self.size = 0

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        self.size += size
        bases = range(address - address % PAGE, address + size, PAGE)
        self.pages.update(bases)
        if address < WILD:
            return self._known.read(address, size)
        data = b"".join(self._page(base) for base in bases)
        return data[address % PAGE : address % PAGE + size]

    def _page(self, base: int) -> bytes:
        page = bytearray(PAGE)

        def put(at: int, number: int, size: int) -> None:
            page[at - base : at - base + size] = number.to_bytes(size, "little" if self._order == "little" else "big")

        self._fill(base, put)
        return bytes(page)


Put = Callable[[int, int, int], None]


def member(put: Put, at: int, kind: str, name: str, value: int) -> None:
    found = OFFSETS.field(kind, name)
    put(at + found.offset, value, found.size)


def modules_of(size: int) -> Callable[[Guest], Wild]:
    """Modules without end, all with the same code of a size."""
    link = OFFSETS.offset("module", "list")

    def attack(guest: Guest) -> Wild:
        def fill(base: int, put: Put) -> None:
            put(base + link, base + PAGE + link, 8)
            member(put, base + OFFSETS.offset("module", "mem"), "module_memory", "base", guest.image.text.start)
            member(put, base + OFFSETS.offset("module", "mem"), "module_memory", "size", size)

        guest.number(guest.image.addresses["modules"], WILD + link)
        return Wild(guest, fill)

    return attack


def ops_with_hashes_of(bits: int) -> Callable[[Guest], Wild]:
    """Ops without end, all with one hash of so many buckets, all empty."""
    table = WILD + (1 << 40)

    def attack(guest: Guest) -> Wild:
        def fill(base: int, put: Put) -> None:
            if base < table:
                member(put, base, "ftrace_ops", "next", base + PAGE)
                member(put, base, "ftrace_ops", "func_hash", table)
            if base == table:
                member(put, base, "ftrace_ops_hash", "filter_hash", table + 256)
                for name, value in (("count", 1), ("size_bits", bits), ("buckets", table + PAGE)):
                    member(put, table + 256, "ftrace_hash", name, value)

        guest.number(guest.image.addresses["ftrace_ops_list"], WILD)
        return Wild(guest, fill)

    return attack


def entries(guest: Guest) -> Wild:
    """A bucket without end."""

    def fill(base: int, put: Put) -> None:
        put(base, base + PAGE, 8)

    guest.number(guest.entries[0], WILD)
    return Wild(guest, fill)


def groups(guest: Guest) -> Wild:
    """Groups of records without end, all empty."""

    def fill(base: int, put: Put) -> None:
        member(put, base, "ftrace_page", "next", base + PAGE)

    guest.member(guest.groups[-1], "ftrace_page", "next", WILD)
    return Wild(guest, fill)


@ENDS
@pytest.mark.parametrize(
    "attack",
    [
        modules_of(0),
        modules_of(0x100),
        modules_of(1 << 16),
        ops_with_hashes_of(0),
        ops_with_hashes_of(15),
        entries,
        groups,
    ],
    ids=["modules", "small modules", "large modules", "ops", "ops with large hashes", "entries", "groups"],
)
def test_a_survey_has_a_budget(little: bool, attack: Callable[[Guest], Wild], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of bytes, and of reads; a page that is read anew counts whole, for it is kept."""
    most_bytes, most_reads = 1 << 20, 1 << 12
    monkeypatch.setattr(surveying, "MOST_BYTES", most_bytes)
    monkeypatch.setattr(surveying, "MOST_READS", most_reads)
    guest = busy(little)
    memory = attack(guest)
    with pytest.raises(BadOutput, match=f"more than .* MiB, or {most_reads} reads|more than {MOST_MODULES} modules"):
        survey(guest.stop, memory, guest.image, OFFSETS)
    most = most_bytes + guest.image.code.size
    assert memory.reads <= most_reads
    assert memory.size <= most
    assert PAGE * len(memory.pages) <= most


def test_modules_have_a_limit() -> None:
    guest = busy()
    memory = modules_of(0)(guest)
    with pytest.raises(BadOutput, match=f"more than {MOST_MODULES} modules"):
        survey(guest.stop, memory, guest.image, OFFSETS)
    assert memory.reads < MOST_READS


def test_the_budget_is_no_limit_to_a_kernel_with_large_code() -> None:
    """It is in addition to the code that vmlinux has."""
    guest = Guest(image_of(True), OFF)
    segments = [(guest.image.text.start + (1 << 32), array("I", bytes(2 * MOST_BYTES)))]
    large = replace(guest.image, code=Code([*segments]))
    assert large.code.size == 2 * MOST_BYTES
    assert len(survey(OFF, guest.snapshot(), large, OFFSETS).records) == 4


def test_a_head_of_a_list_that_is_smaller_than_a_pointer_is_refused() -> None:
    small = replace(OFFSETS, structs={**OFFSETS.structs, "hlist_head": Struct(size=4, members={})})
    with pytest.raises(BadOutput, match="hlist_head has 4 bytes"):
        busy().survey(small)


@pytest.mark.parametrize("name", ["size_bits", "count", "buckets"])
def test_a_number_of_more_bytes_than_a_register_is_refused(name: str) -> None:
    """Whose digits would be too many to be told, too."""
    wide = OFFSETS.structs["ftrace_hash"]
    wide = Struct(size=wide.size, members={**wide.members, name: Field(wide.members[name].offset, 1 << 13)})
    with pytest.raises(BadOutput, match=f"ftrace_hash.{name} has 8192 bytes"):
        busy().survey(replace(OFFSETS, structs={**OFFSETS.structs, "ftrace_hash": wide}))


def test_who_takes_a_site_is_counted() -> None:
    """As each ops says of itself, whether it names sites, spares some, or takes all."""
    ops = [
        Ops(1, frozenset({8, 16, 24}), frozenset({24}), {8: FAR}),
        Ops(2, frozenset({16}), frozenset(), {8: MODULES}),
        Ops(3, frozenset(), frozenset({8, 32}), {}),
    ]
    found = Survey(name=OFF, records=(), groups=(), ops=tuple(ops), modules=(), code=Code([]))
    for ip in (8, 16, 24, 32, 40):
        takers = [one.address for one in ops if one.takes(ip)]
        assert found.users(ip) == len(takers)
        assert found.only_user(ip) == (takers[0] if len(takers) == 1 else None)
    assert found.direct == {8: FAR}


def test_a_module_is_found_by_any_address_of_its_code() -> None:
    guest = busy()
    found = guest.survey()
    one, other = found.modules
    turned = replace(found, modules=(other, one))
    places = (one.text.start, one.text.end - 4, one.text.end, other.text.start, one.text.start - 4)
    assert [turned.module_at(at) for at in places] == [one, one, None, other, None]
