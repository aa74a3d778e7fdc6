"""What is due: each thing that did not run is named, and what a condition excuses is not."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from oolong.audit import catalogue
from oolong.audit.check import Check, CheckStatus
from oolong.audit.outcomes import STAGES
from oolong.audit.registry import Trait
from oolong.engine.stage import StageResult, StageStatus
from oolong.errors import BadInput, Kind
from oolong.spec.model import Endian, Expect, MachineFamily, NotDue
from oolong.verdict import judge as verdict
from oolong.verdict.due import SKIPPABLE, check_declared, demand_of, names
from oolong.verdict.known_issues import KnownIssue, Names
from tests.cells import cell
from tests.results import BOOTED, COUNTS, EVERY, MADE, SECTIONS, STOPS, TRACED, healthy, judge, stage
from tests.support import CHECKOUT

# a kernel of a compiler that cannot do it: as gcc 12 makes one, and as clang does in big endian
MPROFILE = {
    name: value
    for name, value in {**TRACED, "MPROFILE_KERNEL": "y"}.items()
    if name not in ("PPC_FTRACE_OUT_OF_LINE", "ARCH_USING_PATCHABLE_FUNCTION_ENTRY")
}
PG = {name: value for name, value in MPROFILE.items() if name not in ("MPROFILE_KERNEL", "KPROBES_ON_FTRACE")}


def changed(name: str, **data: Any) -> dict[str, StageResult]:
    """The same with other data of a stage."""
    made = healthy()
    return {**made, name: replace(made[name], data={**made[name].data, **data})}


def without(name: str) -> dict[str, StageResult]:
    return {one: result for one, result in healthy().items() if one != name}


def missing(judged: verdict.Verdict) -> list[str]:
    """What `audit.complete` names."""
    (check,) = [check for check in judged.checks if check.name == "audit.complete"]
    assert (check.status is CheckStatus.FAIL) == bool(check.victims)
    return list(check.victims)


def test_a_cell_in_which_all_ran_passes_and_says_how_much_that_was() -> None:
    judged = judge(healthy())
    assert (judged.status, judged.kind, judged.notes) == (CheckStatus.PASS, None, ())
    assert judged.checks[-1].name == "audit.complete"
    assert judged.checks[-1].evidence.endswith("stages, checks, stops, sections and tests were due, and ran")


def skipping(stage: str, names: Iterable[str], why: str) -> dict[str, StageResult]:
    """The same, some checks of a stage skipped."""
    skipped = [
        {**check, "status": "skip", "evidence": why} if check["name"] in names else check
        for check in healthy()[stage].data["checks"]
    ]
    return changed(stage, checks=skipped)


GUEST = [name for name in MADE["live"] if name.startswith("guest.") and name != "guest.allocated"]
LIVE = [name for name in MADE["live"] if name.startswith("live.")]


def test_an_empty_report_of_the_guest_fails_and_names_what_nobody_read() -> None:
    made = skipping("live", GUEST, "the guest reported nothing")
    made["live"] = replace(made["live"], data={**made["live"].data, "sections": []})
    judged = judge(made)
    assert (judged.status, judged.kind) == (CheckStatus.FAIL, Kind.STUB_AUDIT)
    assert set(missing(judged)) == {*GUEST, *(f"sections.{name}" for name in SECTIONS)}


def test_a_kernel_without_functions_to_stop_at_fails() -> None:
    made = skipping("live", LIVE, "this kernel has no function to stop at")
    made["boot"] = replace(made["boot"], data={**BOOTED, "stops": []})
    assert set(missing(judge(made))) == {*LIVE, *(f"stops.{name}" for name in STOPS)}


@pytest.mark.parametrize("name", ["audit-object", "audit-image", "live"])
def test_audits_without_checks_of_a_kernel_that_is_traced_fail(name: str) -> None:
    judged = judge(changed(name, checks=[]))
    assert judged.status is CheckStatus.FAIL
    assert set(missing(judged)) == {one for one in MADE[name] if one in names()}


@pytest.mark.parametrize("release", ["next", "7.9999999999", "9" * 5000])
def test_a_release_that_is_no_version_makes_no_less_due(release: str) -> None:
    made = changed("live", checks=[])
    assert missing(judge(made, release=release)) == missing(judge(made))


def test_a_boot_without_tests_fails() -> None:
    judged = judge(changed("boot", tests=0, startup_tests=0))
    assert judged.status is CheckStatus.FAIL
    assert missing(judged) == ["tests.guest", "tests.startup"]


@pytest.mark.parametrize("name", SKIPPABLE)
def test_a_test_of_the_guest_that_was_skipped_and_must_run_is_named(name: str) -> None:
    judged = judge(changed("boot", skipped=[f"{name}: not in this kernel"]))
    assert (judged.status, missing(judged)) == (CheckStatus.FAIL, [f"tests.{name}"])
    assert "due, and skipped: not in this kernel" in judged.checks[-1].evidence


def test_a_test_of_the_guest_that_cannot_run_may_be_skipped() -> None:
    config = {**TRACED, "KPROBE_EVENTS": "n", "STACK_TRACER": "n"}
    skipped = [f"{name}: not in this kernel" for name in SKIPPABLE]
    assert judge(changed("boot", skipped=skipped), config=config, traits=EVERY - {Trait.MODULES}).status == "pass"


def test_a_test_of_the_guest_that_nobody_may_skip_is_named() -> None:
    assert missing(judge(changed("boot", skipped=["function_graph: why not"]))) == ["tests.function_graph"]


def test_a_boot_that_does_not_say_what_was_skipped_fails() -> None:
    made = healthy()
    told = {name: value for name, value in BOOTED.items() if name != "skipped"}
    judged = judge({**made, "boot": replace(made["boot"], data=told)})
    assert (judged.status, missing(judged)) == (CheckStatus.FAIL, ["tests.guest"])


def test_the_tests_that_may_be_skipped_are_those_of_the_guest() -> None:
    text = (CHECKOUT / "guest" / "init.c").read_text()
    bodies = [body for body in text.split("\nstatic void ") if "\tskip(what, " in body]
    assert {found[1] for body in bodies if (found := re.search(r'what = "([^"]+)"', body))} == SKIPPABLE.keys()
    assert len(bodies) == len(SKIPPABLE)


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_stage_that_was_not_made_is_named(name: str) -> None:
    judged = judge(without(name))
    assert judged.status is CheckStatus.FAIL
    assert f"stage.{name}" in missing(judged)
    assert judge(without(name), whole=False).status is CheckStatus.PASS


def test_audits_and_live_that_are_not_there_at_all_fail() -> None:
    made = {name: one for name, one in healthy().items() if name not in ("audit-object", "audit-image", "live")}
    found = set(missing(judge(made)))
    assert found >= {*MADE["audit-object"], *MADE["audit-image"], *MADE["live"], "stage.live", "boot.sites"}


@pytest.mark.parametrize("name", [name for one in MADE.values() for name in one])
@pytest.mark.parametrize("how", ["left out", "skipped"])
def test_each_check_that_did_not_run_is_named_alone(name: str, how: str) -> None:
    (owner,) = [one for one, checks in MADE.items() if name in checks]
    checks = [check for check in healthy()[owner].data["checks"] if check["name"] != name]
    if how == "skipped":
        checks.append(Check(name=name, status=CheckStatus.SKIP, evidence="nobody asked").as_json())
    assert missing(judge(changed(owner, checks=checks))) == [name]


@pytest.mark.parametrize("name", STOPS)
def test_each_stop_that_the_guest_did_not_make_is_named(name: str) -> None:
    judged = judge(changed("boot", stops=[stop for stop in STOPS if stop != name]))
    assert missing(judged) == [f"stops.{name}"]


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_that_is_not_in_the_report_is_named(name: str) -> None:
    judged = judge(changed("live", sections=[section for section in SECTIONS if section != name]))
    assert missing(judged) == [f"sections.{name}"]


def test_checks_of_no_patch_sites_say_nothing() -> None:
    made = changed("audit-image", sites={"text": 0, "inittext": 0})
    made["stubs"] = replace(made["stubs"], data={**COUNTS, "total": 0, "text": 0, "inittext": 0})
    made["boot"] = replace(made["boot"], data={**BOOTED, "allocated": 0, "total": 0})
    assert missing(judge(made)) == ["sites.object", "sites.image"]


def test_stages_that_are_blocked_by_no_failure_fail() -> None:
    made = healthy()
    made["boot"], made["live"] = (stage(name, StageStatus.BLOCKED) for name in ("boot", "live"))
    assert missing(judge(made)) == ["stage.boot", "stage.live"]
    assert missing(judge(made, whole=False)) == ["stage.boot", "stage.live"]


def test_a_configuration_that_is_not_there_leaves_nothing_due_and_fails() -> None:
    judged = judge(healthy(), config=None)
    assert judged.status is CheckStatus.FAIL
    assert missing(judged) == ["stage.configure"]


def test_what_a_failed_stage_could_not_come_to_is_not_named() -> None:
    """The failure is told, and nothing that follows from it."""
    made = healthy()
    made["boot"] = replace(stage("boot", StageStatus.FAIL), kind=Kind.PANIC, lines=("it fell",))
    made["live"] = stage("live", StageStatus.BLOCKED)
    judged = judge(made)
    assert (judged.status, judged.kind, missing(judged)) == (CheckStatus.FAIL, Kind.PANIC, [])


def test_that_nobody_looked_is_never_known() -> None:
    entry = KnownIssue(
        name="all-is-well",
        checks=("audit.complete",),
        covers=Names(globs=("*",)),
        kernels=(),
        when=(),
        config=(),
        reason="a",
        evidence="b",
        upstream="",
    )
    assert judge(without("live"), known=(entry,)).status is CheckStatus.FAIL


@pytest.mark.parametrize(
    ("config", "traits", "release", "excused"),
    [
        (MPROFILE, EVERY, "7.3.4", [name for name, entry in catalogue.entries().items() if entry.about_stubs]),
        (MPROFILE, EVERY, "7.3.4", ["image.mcount-entries"]),
        (PG, EVERY, "7.3.4", ["live.disabled-records", "image.kprobe-window", "guest.kprobe-location"]),
        (TRACED, EVERY - {Trait.MODULES}, "7.3.4", ["live.modules"]),
        (TRACED, EVERY - {Trait.REPORT}, "7.3.4", GUEST),
        ({**TRACED, "RELOCATABLE": "n"}, EVERY, "7.3.4", ["image.relocations"]),
        (MPROFILE, EVERY, "6.6.1-old", ["config.out-of-line-probe", "guest.touched", "guest.listed-once"]),
        ({**MPROFILE, "PPC64_ELF_ABI_V1": "y"}, EVERY, "7.3.4", [*MADE["audit-image"], *MADE["live"]]),
        ({"MODULES": "y"}, EVERY, "7.3.4", [*MADE["audit-object"], *MADE["audit-image"], *MADE["live"]]),
    ],
    ids=["mprofile", "uncounted", "pg", "no-modules", "no-report", "fixed", "old", "elfv1", "untraced"],
)
def test_what_cannot_apply_is_excused_by_a_condition(
    config: Mapping[str, str], traits: frozenset[Trait], release: str, excused: list[str]
) -> None:
    made = healthy()
    for name, result in made.items():
        kept = [check for check in result.data.get("checks", ()) if check["name"] not in excused]
        made[name] = replace(result, data={**result.data, "checks": kept})
    if "PPC_FTRACE_OUT_OF_LINE" not in config:
        made["stubs"] = stage("stubs", out_of_line=False)
    judged = judge(made, config=config, traits=traits, release=release)
    assert set(missing(judged)) & set(excused) == set()
    assert judged.status is CheckStatus.PASS, missing(judged)


@pytest.mark.parametrize("config", [MPROFILE, PG], ids=["mprofile", "pg"])
def test_lost_entries_are_looked_for_where_there_are_no_stubs(config: Mapping[str, str]) -> None:
    made = {**skipping("audit-image", ["image.no-orphan"], "nobody looked"), "stubs": stage("stubs", out_of_line=False)}
    assert missing(judge(made, config=config)) == ["image.no-orphan"]


def test_a_kernel_that_should_keep_stubs_and_does_not_fails() -> None:
    made = {**healthy(), "stubs": stage("stubs", out_of_line=False)}
    assert set(missing(judge(made))) >= {"object.tree-script", "stubs.link", "boot.sites", "sites.object"}


def test_what_is_declared_not_to_be_due_is_not_missed_and_told_with_its_reason() -> None:
    made = skipping("live", LIVE, "no function to stop at")
    made["boot"] = replace(made["boot"], data={**BOOTED, "stops": []})
    excused = (
        NotDue(name="live.*", reason="it cannot stop", where=""),
        NotDue(name="stops.*", reason="it cannot stop", where=""),
    )
    judged = judge(made, not_due=excused)
    assert (judged.status, missing(judged), judged.notes) == (CheckStatus.PASS, [], ())
    assert "; not due: live.* (it cannot stop); not due: stops.* (it cannot stop)" in judged.checks[-1].evidence


def test_a_finding_of_what_is_not_due_is_still_a_finding() -> None:
    wrong = [
        {**check, "status": "fail"} if check["name"] == "live.sites" else check
        for check in healthy()["live"].data["checks"]
    ]
    judged = judge(changed("live", checks=wrong), not_due=(NotDue(name="live.*", reason="a", where=""),))
    assert (judged.status, judged.kind) == (CheckStatus.FAIL, Kind.STUB_AUDIT)


def test_a_declaration_of_which_nothing_is_missing_is_noted() -> None:
    judged = judge(healthy(), not_due=(NotDue(name="live.*", reason="it cannot stop", where=""),))
    assert judged.status is CheckStatus.PASS
    assert judged.notes == ("declared as not due, and nothing of it is missing: live.* (it cannot stop)",)


@pytest.mark.parametrize("name", ["stage.live", "stage.*", "*", "l*", "audit.complete", "live.nothing-*"])
def test_a_declaration_that_names_nothing_or_everything_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_declared([NotDue(name=name, reason="a", where="pipeline.yaml:4:7")])
    assert caught.value.where == "pipeline.yaml:4:7"
    assert repr(name) in caught.value.what


def test_a_misspelt_declaration_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput) as caught:
        check_declared([NotDue(name="live.site", reason="a", where="x")])
    assert caught.value.hint == "did you mean 'live.sites'?"


def test_all_that_can_be_due_can_be_declared_not_to_be() -> None:
    check_declared([NotDue(name=name, reason="a", where="x") for name in names()])
    assert len(set(names())) == len(names())


def test_the_traits_of_a_cell() -> None:
    one = cell(Endian.LE)
    stages = ("compile", "boot")
    plain = demand_of(replace(one, link_both=False), whole=True, stages=stages, recorded=False)
    assert plain.traits == {Trait.REPORT} | ({Trait.MODULES} if one.config.modules else set())
    full = demand_of(
        replace(one, link_both=True, expect=Expect(ool=True), config=replace(one.config, modules=True)),
        whole=True,
        stages=("compile", "tree"),
        recorded=True,
    )
    assert full.traits == set(Trait)
    silent = replace(one, machine=replace(one.machine, family=MachineFamily.POWERNV))
    assert Trait.REPORT not in demand_of(silent, whole=True, stages=stages, recorded=False).traits


def test_declarations_of_config_and_machine_are_both_taken() -> None:
    one = cell(Endian.LE)
    first, second = NotDue(name="live.*", reason="a", where="x"), NotDue(name="stops.*", reason="b", where="y")
    both = replace(one, config=replace(one.config, not_due=(first,)), machine=replace(one.machine, not_due=(second,)))
    assert demand_of(both, whole=True, stages=(), recorded=False).not_due == (first, second)


def test_digests_are_due_where_they_can_be_compared() -> None:
    judged = judge(healthy(), traits=EVERY | {Trait.RECORDED})
    assert missing(judged) == ["artifacts.digest"]


def test_an_expectation_is_due_where_there_is_one() -> None:
    judged = judge(healthy(), traits=EVERY | {Trait.EXPECTED}, expect=Expect(ool=True))
    assert missing(judged) == []
    assert missing(judge(healthy(), traits=EVERY | {Trait.EXPECTED})) == ["expect.ool"]


def test_a_part_is_due_up_to_what_was_made() -> None:
    """The image without the boot: nothing of the guest is missed, and nothing of the image may be."""
    upto = ("rootfs", "source", "configure", "compile", "stubs", "audit-object", "offsets", "link", "audit-image")
    part = {name: one for name, one in healthy().items() if name in upto}
    assert judge(part, whole=False).status is CheckStatus.PASS
    part["audit-image"] = replace(part["audit-image"], data={**part["audit-image"].data, "checks": []})
    assert set(missing(judge(part, whole=False))) == set(MADE["audit-image"]) & set(names())
