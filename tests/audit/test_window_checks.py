"""Sites that the kernel takes for those of another function, and the rules that explain them."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from oolong.audit import image as vmlinux
from oolong.audit import window_checks
from oolong.audit.check import Check, CheckStatus
from oolong.audit.image import Function, Image
from oolong.audit.linked import Known, Linked
from oolong.audit.rules import NEVER_KNOWN, RULES
from oolong.audit.window_checks import WINDOWS
from oolong.binary.powerpc import NOP
from tests.support import TEST_DATA

AUDIT = TEST_DATA / "audit"
KNOWN = Known(config={"KPROBES_ON_FTRACE": "y"}, max_offset=16)
FAIL, PASS, SKIP = CheckStatus.FAIL, CheckStatus.PASS, CheckStatus.SKIP
BLR = 0x4E800020


def read(name: str, order: str = "le") -> Image:
    return vmlinux.read(AUDIT / f"image-{name}-{order}")


def explained(check: Check) -> list[tuple[str, str]]:
    """Each finding's victim, and the rule that explains it."""
    return [(one.who, one.rule) for one in check.findings]


def changed(image: Image, name: str, change: Callable[[Function], Iterable[Function]]) -> Image:
    """The image with other functions in place of one."""
    functions = [made for one in image.functions for made in (change(one) if one.name == name else (one,))]
    return replace(image, functions=tuple(functions))


def resized(name: str, image: Image, size: int) -> Image:
    return changed(image, name, lambda one: [one._replace(size=size)])


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_short_function_is_explained_by_the_entry_of_the_one_after_it(order: str) -> None:
    check = window_checks.kprobe_window(Linked(read("neighbour", order), KNOWN))
    assert (check.status, explained(check)) == (FAIL, [("short", "short-function")])


@pytest.mark.parametrize(
    "change",
    [
        # the foreign site is not where the other function begins
        lambda image: changed(image, "neighbour", lambda one: [one._replace(local_entry=8)]),
        lambda image: changed(image, "neighbour", lambda one: [one._replace(address=one.address - 4)]),
        # the foreign site is in no function
        lambda image: changed(image, "neighbour", lambda one: []),
        # it reaches into the other one
        lambda image: changed(
            image, "neighbour", lambda one: [one._replace(address=one.address - 12, size=one.size + 12)]
        ),
    ],
    ids=["no-entry", "before-entry", "nameless", "overlaps"],
)
def test_another_cause_of_a_foreign_site_is_not_explained(change: Callable[[Image], Image]) -> None:
    check = window_checks.kprobe_window(Linked(change(read("neighbour")), KNOWN))
    assert check.status == FAIL
    assert ("short", "") in explained(check)


def test_a_function_of_assembly_without_a_size_ends_where_the_next_one_begins() -> None:
    image = read("neighbour")
    check = window_checks.kprobe_window(Linked(resized("short", image, 0), KNOWN))
    assert explained(check) == [("short", "short-function")]


def test_the_site_of_a_function_that_lost_its_size_is_not_explained() -> None:
    check = window_checks.kprobe_window(Linked(resized("leaf", read("healthy"), 0), KNOWN))
    assert explained(check) == [("leaf", "")]


@pytest.mark.parametrize("order", ["le", "be"])
def test_the_code_of_an_overridden_function_right_after_another_is_a_dead_record(order: str) -> None:
    linked = Linked(read("dead-near", order), KNOWN)
    for check in (window_checks.dead_record_window(linked), window_checks.kprobe_window(linked)):
        assert (check.status, explained(check)) == (FAIL, [("before_dead", "dead-record")])


@pytest.mark.parametrize(
    "change",
    [
        # code stands between the function and the site
        lambda image: image.code.put(_end(image, "before_dead"), BLR),
        lambda image: image.code.put(_end(image, "before_dead") + 4, BLR),
    ],
)
def test_a_site_that_does_not_follow_a_function_is_no_dead_record(change: Callable[[Image], None]) -> None:
    image = read("dead-near")
    change(image)
    for look in (window_checks.dead_record_window, window_checks.kprobe_window):
        assert explained(look(Linked(image, KNOWN))) == [("before_dead", "")]


@pytest.mark.parametrize("size", [0, 4])
def test_a_function_that_lost_its_end_is_no_dead_record(size: int) -> None:
    """Its own site, or its own code, would pass for that of another."""
    assert ("before_dead", "") in explained(
        window_checks.dead_record_window(Linked(resized("before_dead", read("dead-near"), size), KNOWN))
    )


def test_the_entry_of_dead_code_may_set_up_the_toc() -> None:
    """Its site is then 8 bytes after its start."""
    image = read("dead-near")
    end = _end(image, "before_dead")
    for at, word in ((end, 0x3C4C0001), (end + 4, 0x38420000)):
        image.code.put(at, word)
    assert explained(window_checks.dead_record_window(Linked(image, KNOWN))) == [("before_dead", "dead-record")]


@pytest.mark.parametrize("limit", [8, 15, 16, 31, 32, None])
def test_a_dead_record_beyond_the_limit_is_dead_for_the_kernel_too(limit: int | None) -> None:
    near, far = read("dead-near"), read("healthy")
    told = replace(KNOWN, max_offset=limit)
    assert (window_checks.dead_record_window(Linked(near, told)).status == FAIL) == (limit is None or limit >= 16)
    assert (window_checks.dead_record_window(Linked(far, told)).status == FAIL) == (limit == 32)


@pytest.mark.parametrize("name", ["dead-near", "healthy"])
def test_of_a_kernel_that_has_no_limit_every_dead_record_is_a_finding(name: str) -> None:
    """However far from the function: only where nobody knows the limit is it taken to be the usual one."""
    image, unlimited = read(name), replace(KNOWN, max_offset=None, without_max_offset=True)
    check = window_checks.dead_record_window(Linked(image, unlimited))
    dead = [site.ip for site in image.sites if site.function is None]
    assert dead
    assert [one.address for one in check.findings] == [hex(ip) for ip in dead]
    assert {rule for _, rule in explained(check)} == {"no-max-offset"}


def test_of_a_kernel_without_a_limit_a_site_that_lost_its_function_is_not_explained() -> None:
    """A label is no function that a dead record follows."""
    image, unlimited = read("healthy"), replace(KNOWN, max_offset=None, without_max_offset=True)
    ip = next(site.ip for site in image.sites if site.function is None)
    labelled = replace(image, symbols=tuple(sorted((*image.symbols, (ip - 4, "label")))))
    assert ("label", "") in explained(window_checks.dead_record_window(Linked(labelled, unlimited)))


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize(("name", "victim"), [("two-sites", "double"), ("twice", "leaf")])
def test_two_sites_of_one_function_are_its_own_fault(name: str, victim: str, order: str) -> None:
    """Not that of a window, which known issues may cover."""
    linked = Linked(read(name, order), KNOWN)
    assert (window_checks.one_site(linked).status, window_checks.one_site(linked).victims) == (FAIL, (victim,))
    assert explained(window_checks.one_site(linked)) == [(victim, "")]
    assert window_checks.kprobe_window(linked).status == PASS
    assert "image.one-site" in NEVER_KNOWN


def test_kprobes_that_do_not_use_ftrace_have_no_window() -> None:
    config = {"KPROBES_ON_FTRACE": "n"}
    linked = Linked(read("neighbour"), replace(KNOWN, config=config))
    assert window_checks.kprobe_window(linked).status == SKIP
    assert window_checks.one_site(linked).status == PASS


def test_a_site_after_the_prologue_of_mprofile_kernel_is_a_proper_one() -> None:
    image = read("mprofile-kernel")
    leaf = next(one for one in image.functions if one.name == "leaf")
    short = Function(leaf.address - 8, 4, 0, "short")
    beside = replace(image, functions=tuple(sorted((*image.functions, short))))
    assert explained(window_checks.kprobe_window(Linked(beside, KNOWN))) == [("short", "short-function")]
    beside.code.put(leaf.address, NOP)
    assert explained(window_checks.kprobe_window(Linked(beside, KNOWN))) == [("short", "")]


def test_every_rule_explains_findings_of_checks() -> None:
    assert all(name == rule.name and rule.says and rule.checks for name, rule in RULES.items())
    explaining = {check for rule in RULES.values() for check in rule.checks}
    assert not explaining & NEVER_KNOWN
    windows = {entry.name for entry in WINDOWS.entries}
    assert windows - explaining == {"image.one-site"}


def _end(image: Image, name: str) -> int:
    return next(one.address + one.size for one in image.functions if one.name == name)
