"""Which stub serves which site, on kernels that are too large to keep: their text is made of addresses alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from oolong.audit import area_checks
from oolong.audit.allocation import Allocation, allocate, out_of_reach, sequence, trampoline
from oolong.audit.image import Area, Code, Function, Image, Range
from oolong.audit.linked import Linked
from oolong.binary import powerpc
from oolong.stubs.counting import INITTEXT, RESERVED, TEXT_END

START = 0xC000000000000000
MIB = 1 << 20
STUB = 24
RESERVE_AT = START + 0x10000
CALLER = START + 0x1000


def kernel(
    *,
    text: Sequence[int],
    init: Sequence[int] = (),
    reserve: int,
    end: int,
    inittext: int = 0,
    size: int = 24 * MIB,
    addresses: Mapping[str, int] | None = None,
) -> Image:
    """A kernel whose text has `size` bytes, with sites at offsets in text and in init text, and stubs in its areas; the
    area after .text and a trampoline are at the end of text, init text begins right after it."""
    after, later = START + size - 4 * MIB, START + size
    areas = {
        RESERVED: Area(RESERVED, RESERVE_AT, reserve * STUB, reserve),
        TEXT_END: Area(TEXT_END, after, end * STUB, end),
        INITTEXT: Area(INITTEXT, later + MIB, inittext * STUB, inittext),
    }
    slots = (*(START + offset for offset in text), *(later + offset for offset in init))
    return Image(
        little=True,
        release="7.3.4",
        clang=False,
        text=Range(START, START + size),
        inittext=Range(later, later + 2 * MIB),
        table=Range(0, 8 * len(slots)),
        stored=slots,
        relocations=None,
        functions=tuple(Function(slot, 16, 0, f"f{number}") for number, slot in enumerate(slots)),
        symbols=tuple((slot, f"f{number}") for number, slot in enumerate(slots)),
        addresses={
            "ftrace_caller": CALLER,
            "ftrace_regs_caller": CALLER + 0x100,
            "ftrace_tramp_text": after - 64,
            "ftrace_tramp_init": later + MIB - 64,
            **(addresses or {}),
        },
        areas=areas,
        code=Code([]),
    )


def areas_of(done: Allocation) -> list[tuple[str, int]]:
    """The area and number of each site's stub, by address."""
    return [(stub.area, stub.number) for _, stub in sorted(done.stubs.items())]


def test_the_reserve_is_used_up_first() -> None:
    found = kernel(text=[0x100000, 0x200000, 0x300000], init=[0, 0x100], reserve=2, end=1, inittext=2)
    done = allocate(found)
    assert areas_of(done) == [(RESERVED, 0), (RESERVED, 1), (TEXT_END, 0), (INITTEXT, 0), (INITTEXT, 1)]
    assert done.overflowed == ()
    assert done.stubs[START + 0x200000].code == RESERVE_AT + STUB + 8
    assert list(out_of_reach(found, done.stubs.values())) == []


def test_sites_are_served_by_address_not_as_the_table_has_them() -> None:
    found = kernel(text=[0x300000, 0x100000], reserve=1, end=1)
    assert areas_of(allocate(found)) == [(RESERVED, 0), (TEXT_END, 0)]


@pytest.mark.parametrize(
    ("text", "init", "reserve", "end", "inittext", "overflowed"),
    [
        ([0x100000, 0x200000], [0], 1, 1, 1, ()),
        ([0x100000, 0x200000], [0], 2, 0, 1, ()),
        ([0x100000, 0x200000], [0], 1, 0, 1, ((START + 0x200000, TEXT_END),)),
        ([0x100000], [0, 0x100], 1, 0, 1, ((START + 24 * MIB + 0x100, INITTEXT),)),
        # a stub too many elsewhere helps nobody
        ([0x100000], [0], 9, 9, 0, ((START + 24 * MIB, INITTEXT),)),
    ],
)
def test_an_area_that_is_full_serves_nobody_more(
    text: list[int], init: list[int], reserve: int, end: int, inittext: int, overflowed: tuple[tuple[int, str], ...]
) -> None:
    found = kernel(text=text, init=init, reserve=reserve, end=end, inittext=inittext)
    done = allocate(found)
    assert done.overflowed == overflowed
    check = area_checks.stub_allocation(Linked(found))
    assert check.victims == tuple(found.told(ip) for ip, _ in overflowed)


def test_what_the_reserve_does_not_reach_is_served_from_the_end() -> None:
    """Text of more than 32 MB: although the reserve has room, sites far from it get stubs at the end of text."""
    far = 34 * MIB
    found = kernel(text=[0x100000, far, far + 0x100], reserve=100, end=2, size=40 * MIB)
    done = allocate(found)
    assert areas_of(done) == [(RESERVED, 0), (TEXT_END, 0), (TEXT_END, 1)]
    assert area_checks.branch_range(Linked(found)).status == "pass"


def test_the_last_site_that_the_reserve_reaches() -> None:
    reach = RESERVE_AT - START + powerpc.FURTHEST_AHEAD
    assert areas_of(allocate(kernel(text=[reach], reserve=1, end=1, size=40 * MIB))) == [(RESERVED, 0)]
    assert areas_of(allocate(kernel(text=[reach + 4], reserve=1, end=1, size=40 * MIB))) == [(TEXT_END, 0)]


def test_few_functions_in_much_text_overflow_what_was_counted_for_the_end() -> None:
    """The count for the end of text is all sites less the reserve; but of the reserve only what is near is used,
    so that the counts are met and the kernel still runs out of stubs."""
    near = [0x100000 + number * MIB for number in range(10)]
    far = [34 * MIB + number * 0x100 for number in range(20)]
    reserve = 25
    found = kernel(text=near + far, reserve=reserve, end=len(near + far) - reserve, size=40 * MIB)
    done = allocate(found)
    assert len(done.stubs) == 15
    assert [area for _, area in done.overflowed] == [TEXT_END] * 15
    assert len(area_checks.stub_allocation(Linked(found)).victims) == 15


def test_a_stub_that_is_out_of_reach_is_told() -> None:
    """The end of text is too far from a site near its start, and the reserve is empty."""
    found = kernel(text=[0x20000], reserve=0, end=1, size=44 * MIB)
    done = allocate(found)
    told = dict.fromkeys(ip for ip, _ in out_of_reach(found, done.stubs.values()))
    assert list(told) == [START + 0x20000]
    assert area_checks.branch_range(Linked(found)).victims == ("f0",)


def test_a_stub_reaches_ftrace_by_a_trampoline() -> None:
    """From a stub far from ftrace_caller the call goes to the trampoline at the end of text; that of init text serves
    init text alone, with which it goes."""
    found = kernel(text=[38 * MIB], reserve=0, end=1, size=44 * MIB)
    (stub,) = allocate(found).stubs.values()
    assert trampoline(found, stub.call, "ftrace_caller") == found.addresses["ftrace_tramp_text"]
    assert area_checks.branch_range(Linked(found)).status == "pass"
    without = {name: at for name, at in found.addresses.items() if name != "ftrace_tramp_text"}
    other = replace(found, addresses=without)
    assert trampoline(other, stub.call, "ftrace_caller") is None
    init = replace(other, inittext=Range(stub.code, stub.code + 24))
    assert trampoline(init, stub.call, "ftrace_caller") == found.addresses["ftrace_tramp_init"]
    none = replace(found, addresses={"ftrace_caller": CALLER})
    assert trampoline(none, stub.call, "ftrace_caller") is None
    assert area_checks.branch_range(Linked(none)).victims == ("f0",)
    assert sequence(stub, None) is None


def test_near_stubs_call_what_is_asked_for() -> None:
    found = kernel(text=[0x100000], reserve=1, end=0)
    (stub,) = allocate(found).stubs.values()
    for caller in ("ftrace_caller", "ftrace_regs_caller"):
        assert trampoline(found, stub.call, caller) == found.addresses[caller]


def test_a_stub_is_four_instructions_that_come_back() -> None:
    found = kernel(text=[0x100000], reserve=1, end=0)
    (stub,) = allocate(found).stubs.values()
    made = sequence(stub, CALLER)
    assert made
    assert (made[0], made[2]) == (0x7C0802A6, 0x7C0803A6)
    assert powerpc.branch_target(made[1], stub.code + 4) == CALLER
    assert powerpc.links(made[1])
    assert powerpc.branch_target(made[3], stub.code + 12) == START + 0x100004
    assert not powerpc.links(made[3])


def test_stubs_without_a_pointer_to_ops_begin_with_their_code() -> None:
    """As in the releases before CALL_OPS."""
    found = kernel(text=[0x100000], reserve=1, end=0)
    areas = {name: Area(name, area.address, area.stubs * 16, area.stubs) for name, area in found.areas.items()}
    (stub,) = allocate(replace(found, areas=areas)).stubs.values()
    assert stub.code == RESERVE_AT


def test_without_areas_nothing_is_allocated() -> None:
    found = replace(kernel(text=[0x100000], reserve=1, end=0), areas={})
    assert allocate(found) == Allocation(stubs={}, overflowed=())
