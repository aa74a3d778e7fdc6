"""What is read of a guest's memory, from guests made by hand whose structures have a layout of their own."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from oolong.audit.survey import LARGEST_MODULE, MOST, MOST_BITS, Record, survey
from oolong.binary.structs import NOTHING, Field, Offsets, Struct
from oolong.errors import BadOutput
from oolong.machine.memory import Unreadable
from oolong.machine.stops import ALL, INIT_MEMORY, MODULE, OFF
from tests.guests import (
    CALL_OPS,
    CALL_OPS_EN,
    ENABLED,
    FAR,
    MODULES,
    OFFSETS,
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
    assert found.records[0] == Record(
        ip=text[0],
        flags=ENABLED | CALL_OPS | CALL_OPS_EN | 1,
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
        MODULES + 0x300,
        MODULES + 0x308,
    )
    assert (module.stubs, module.stub_count, module.stubs_used) == (MODULES + 0x400, 3, 3)
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
        (record_of(48, ip=(8, 8), flags=(24, 4), arch_ool_stub=(32, 8)), "which no known kernel has"),
        (record_of(48, ip=(24, 8), flags=(8, 8), arch_ool_stub=(32, 8)), "which no known kernel has"),
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
    guest.member(guest.groups[1], "ftrace_page", "index", MOST)


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
    guest.member(memory, "module_memory", "size", LARGEST_MODULE + 1)


def survey_number(guest: Guest, at: int) -> int:
    return int.from_bytes(guest.snapshot().read(at, 8), "little" if guest.image.little else "big")


@ENDS
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (group_loop, "list of groups of records .* no end"),
        (group_huge, "a group of 1048576 records"),
        (ops_loop, "list of ops .* no end"),
        (entry_loop, "list of entries of a hash .* no end"),
        (bucket_twice, "list of entries of a hash .* no end"),
        (buckets_huge, r"a hash of 2\^18446744073709551615 buckets"),
        (buckets_many, r"a hash of 2\^21 buckets"),
        (module_loop, "list of modules .* no end"),
        (module_huge, "a module with 33554433 bytes of code"),
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
