"""The last picture of guests made by hand: what is right at any time, what never is, and what one record may be."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from oolong.audit import live_checks, post_mortem
from oolong.audit.check import Check, CheckStatus
from oolong.audit.live_state import AT_ANY_TIME, Live
from oolong.binary import powerpc
from oolong.errors import BadOutput
from oolong.machine.memory import Snapshot, Unreadable
from oolong.machine.stops import ALL, END, INIT_MEMORY, OFF
from tests.guests import NEAR, OFFSETS, Guest, Loaded, Tracer, image_of, ip_of

FAIL, PASS, SKIP = CheckStatus.FAIL, CheckStatus.PASS, CheckStatus.SKIP
ENDS = pytest.mark.parametrize("little", [True, False], ids=["le", "be"])
MTLR = 2


def busy(stop: str = ALL, *, little: bool = True) -> Guest:
    """Functions traced by one, by two, with registers, and by direct calls; a module."""
    image = image_of(little)
    first, second = ip_of(image, "plain_one"), ip_of(image, "with_toc")
    tracers = [
        Tracer(traced=frozenset({first}), regs=True),
        Tracer(traced=frozenset({second}), direct={second: NEAR}),
    ]
    return Guest(image, stop, tracers, [Loaded()])


def pictured(guest: Guest) -> Snapshot:
    return Snapshot(END, guest.snapshot().pages)


def accused(guest: Guest) -> tuple[str, ...]:
    return post_mortem.accusations(pictured(guest), guest.image, OFFSETS)


def checked(guest: Guest) -> dict[str, Check]:
    """The checks of a guest that came to no stop, and of which there is a last picture."""
    last = post_mortem.last_survey(pictured(guest), guest.image, OFFSETS)
    return {check.name: check for check in live_checks.checks(Live(guest.image, OFFSETS, (), last=last))}


def stub_of(guest: Guest, function: str) -> int:
    ip = ip_of(guest.image, function)
    return next(record.stub for record in guest.survey().records if record.ip == ip)


def spoil_word(guest: Guest, function: str, number: int, word: int) -> None:
    guest.number(stub_of(guest, function) + number * powerpc.INSTRUCTION, word, powerpc.INSTRUCTION)


def spoil_site(guest: Guest, function: str, word: int) -> None:
    guest.number(ip_of(guest.image, function), word, powerpc.INSTRUCTION)


@ENDS
@pytest.mark.parametrize("stop", [INIT_MEMORY, OFF, ALL])
def test_a_healthy_guest_is_accused_of_nothing_wherever_it_stands(stop: str, little: bool) -> None:
    guest = busy(stop, little=little) if stop == ALL else Guest(image_of(little), stop)
    assert accused(guest) == ()
    came = checked(guest)
    assert {name for name, check in came.items() if check.status is PASS} == set(AT_ANY_TIME)
    assert all("in the end" in came[name].evidence for name in AT_ANY_TIME)


@ENDS
def test_a_stub_without_mtlr_is_the_accusation(little: bool) -> None:
    guest = busy(little=little)
    spoil_word(guest, "plain_two", MTLR, powerpc.NOP)
    (line,) = accused(guest)
    assert line.startswith("live.stub-words: 1: plain_two: at end: its stub is 7c0802a6 ")
    (finding,) = checked(guest)["live.stub-words"].findings
    assert (finding.who, finding.stop) == ("plain_two", END)


def between_site(guest: Guest, function: str) -> None:
    """The record says that it is on, and its site is not patched yet."""
    spoil_site(guest, function, powerpc.NOP)


def between_call(guest: Guest, function: str) -> None:
    """The record says that nobody wants registers any more, and its stub still gives them."""
    stub = stub_of(guest, function)
    target = guest.image.addresses["ftrace_regs_caller"]
    if function == "plain_one":
        target = guest.image.addresses["ftrace_caller"]
    spoil_word(guest, function, 1, powerpc.branch(stub + 4, target, link=True))


@ENDS
@pytest.mark.parametrize("between", [between_site, between_call])
def test_one_record_may_be_between_two_states_and_no_second_one(
    between: Callable[[Guest, str], None], little: bool
) -> None:
    guest = busy(little=little)
    between(guest, "plain_one")
    assert accused(guest) == ()
    between(guest, "with_toc")
    (line,) = accused(guest)
    assert "plain_one" in line
    assert "with_toc" in line


@ENDS
def test_a_site_in_no_state_at_all_is_wrong_though_it_be_one(little: bool) -> None:
    guest = busy(little=little)
    spoil_site(guest, "plain_two", powerpc.MFLR_R0)
    (line,) = accused(guest)
    assert line.startswith("live.sites: 1: plain_two: at end: its site is 7c0802a6, not 60000000")


def test_a_call_to_nowhere_is_wrong_though_it_be_one() -> None:
    guest = busy()
    spoil_word(guest, "plain_two", 1, powerpc.branch(0x1000, 0x2000, link=True))
    (line,) = accused(guest)
    assert line.startswith("live.stub-words: 1: plain_two")


def test_a_record_that_is_lost_and_one_that_is_no_patch_site_are_wrong() -> None:
    guest = busy()
    lost = ip_of(guest.image, "plain_two")
    survey = post_mortem.last_survey(pictured(guest), guest.image, OFFSETS)
    records = tuple(one._replace(ip=one.ip + 4) if one.ip == lost else one for one in survey.records)
    live = Live(guest.image, OFFSETS, (), last=replace(survey, records=records))
    came = {check.name: check for check in live_checks.checks(live)}
    assert [finding.what for finding in came["live.records"].findings] == [
        "has no record",
        "has a record, and is no patch site",
    ]


def test_some_records_of_init_may_be_gone_in_the_end() -> None:
    guest = Guest(image_of(little=True), INIT_MEMORY)
    survey = post_mortem.last_survey(pictured(guest), guest.image, OFFSETS)
    first = next(record for record in survey.records if guest.image.inittext.holds(record.ip))
    without = replace(survey, records=tuple(record for record in survey.records if record != first))
    came = {check.name: check for check in live_checks.checks(Live(guest.image, OFFSETS, (), last=without))}
    assert came["live.records"].status is PASS


def test_a_module_that_is_being_loaded_has_no_stubs_yet() -> None:
    guest = busy()
    records = guest.survey().records
    modules = [record for record in records if guest.image.area_of(record.ip) is None]
    for number in range(len(modules)):
        without_stub(guest, number)
    assert accused(guest) == ()
    assert len(post_mortem.last_survey(pictured(guest), guest.image, OFFSETS).records) == len(records) - len(modules)


def test_a_guest_that_died_before_ftrace_began_says_nothing() -> None:
    guest = Guest(image_of(little=True), INIT_MEMORY)
    guest.number(guest.image.addresses["ftrace_pages_start"], 0)
    with pytest.raises(BadOutput, match="no records yet"):
        post_mortem.last_survey(pictured(guest), guest.image, OFFSETS)
    assert accused(guest) == ()


def without_stub(guest: Guest, number: int) -> None:
    """Take the stub from the record that is the number-th of the last group."""
    group = guest.groups[-1] + OFFSETS.offset("ftrace_page", "records")
    first = int.from_bytes(pictured(guest).read(group, 8), "little" if guest.image.little else "big")
    at = first + number * OFFSETS.size("dyn_ftrace") + OFFSETS.offset("dyn_ftrace", "arch.ool_stub")
    guest.number(at, 0)


@ENDS
def test_a_guest_that_died_while_ftrace_began_says_nothing(little: bool) -> None:
    """Its records get their stubs one after the other."""
    guest = Guest(image_of(little), INIT_MEMORY)
    without_stub(guest, 0)
    with pytest.raises(BadOutput, match="not yet given all its records a stub"):
        post_mortem.last_survey(pictured(guest), guest.image, OFFSETS)
    assert accused(guest) == ()


@ENDS
def test_a_record_without_a_stub_is_wrong_when_ftrace_has_begun(little: bool) -> None:
    guest = Guest(image_of(little), OFF)
    without_stub(guest, 0)
    assert [line.partition(":")[0] for line in accused(guest)] == ["live.stub-addresses", "live.stub-words"]


def test_memory_that_cannot_be_read_accuses_nobody() -> None:
    image = image_of(little=True)
    with pytest.raises(Unreadable):
        post_mortem.last_survey(Snapshot(END, {}), image, OFFSETS)
    assert post_mortem.accusations(Snapshot(END, {}), image, OFFSETS) == ()


def test_what_needs_an_agreed_point_says_nothing_of_a_last_picture() -> None:
    came = checked(busy())
    rest = {name: check for name, check in came.items() if name not in AT_ANY_TIME}
    assert {check.status for check in rest.values()} == {SKIP}
    assert set(AT_ANY_TIME) < came.keys()
