from array import array

import pytest

from oolong.binary import powerpc
from oolong.binary.powerpc import FURTHEST_AHEAD, FURTHEST_BACK, branch, branch_target, links, reaches, sets_up_toc

AT = 0xC000000000000000
EACH_WAY = pytest.mark.parametrize("distance", [0, 4, -4, 0x1000, -0x1000, FURTHEST_AHEAD, FURTHEST_BACK])


@EACH_WAY
@pytest.mark.parametrize("link", [True, False])
def test_a_branch_goes_where_it_was_made_for(distance: int, link: bool) -> None:
    word = branch(AT, AT + distance, link=link)
    assert (branch_target(word, AT), links(word)) == (AT + distance, link)


@pytest.mark.parametrize("distance", [FURTHEST_AHEAD + 4, FURTHEST_BACK - 4, 2, 1 << 40])
def test_a_branch_that_does_not_reach_is_none(distance: int) -> None:
    assert not reaches(AT, AT + distance)
    with pytest.raises(ValueError, match="no branch"):
        branch(AT, AT + distance)


@pytest.mark.parametrize(
    ("distance", "plain", "linked"),
    [
        (8, 0x48000008, 0x48000009),
        (-8, 0x4BFFFFF8, 0x4BFFFFF9),
        (FURTHEST_AHEAD, 0x49FFFFFC, 0x49FFFFFD),
        (FURTHEST_BACK, 0x4A000000, 0x4A000001),
    ],
)
def test_words_are_as_an_assembler_makes_them(distance: int, plain: int, linked: int) -> None:
    assert (branch(AT, AT + distance), branch(AT, AT + distance, link=True)) == (plain, linked)


@pytest.mark.parametrize(
    "word",
    [
        powerpc.NOP,
        powerpc.MFLR_R0,
        powerpc.MTLR_R0,
        0x4800000A,  # ba: an absolute address
        0x41820008,  # beq
        0x4E800020,  # blr
        0,
    ],
)
def test_other_instructions_are_no_branch(word: int) -> None:
    assert branch_target(word, AT) is None


def test_calls_are_found_among_other_words() -> None:
    """Each way and as far as they go; not branches, absolute ones, conditional ones, or data that looks like them."""
    targets = [AT + FURTHEST_BACK + 4, AT, AT + 8, AT + 16 + FURTHEST_AHEAD]
    made = [branch(AT + 4 * number, target, link=True) for number, target in enumerate(targets, 1) if number != 3]
    words = [
        powerpc.NOP,
        made[0],
        made[1],
        branch(AT + 12, AT),
        made[2],
        0x48000003,
        0x41820009,
        0x01000048,
        0x4C000001,
    ]
    assert list(powerpc.calls(array("I", words), AT)) == [
        (AT + 4, targets[0]),
        (AT + 8, targets[1]),
        (AT + 16, targets[3]),
    ]
    assert list(powerpc.calls(array("I"), AT)) == []


@pytest.mark.parametrize(
    ("first", "second", "so"),
    [
        (0x3C4C0123, 0x38424567, True),  # addis r2,r12; addi r2,r2
        (0x3C404567, 0x38420000, True),  # lis r2; addi r2,r2
        (0x3C4C0123, powerpc.NOP, False),
        (powerpc.NOP, 0x38424567, False),
        (0x3C6C0123, 0x38424567, False),  # addis r3,r12
    ],
)
def test_what_sets_up_the_toc(first: int, second: int, so: bool) -> None:
    assert sets_up_toc(first, second) == so
