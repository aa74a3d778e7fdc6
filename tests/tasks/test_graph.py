"""The whole graph, from configure to report, on fakelinux: a kernel of eight functions that QEMU really runs."""

import json
import re
from pathlib import Path

import pytest

from oolong.audit import catalogue
from oolong.audit.outcomes import STAGE
from tests import schema
from tests.checkout import (
    CELL,
    CONSOLE,
    FAKELINUX_NOT_DUE,
    SCRIPT,
    Checkout,
    fake_kernel,
    run_fake,
    stage_of,
    with_kernel,
)
from tests.support import victims

CHECKER = "arch/powerpc/tools/ftrace_check.sh"
POWER_OFF = "reboot: Power down"
# what there is to check of fakelinux, and what not: it has no look at the compiler, no rules of Kbuild, no function to
# stop at, no report
NOT_SAID = ("stubs.out-of-line", "expect.ool", "artifacts.digest", "audit.victims")
SAID = tuple(name for name in catalogue.entries() if not name.startswith(STAGE) and name not in NOT_SAID)
OTHERS = ("config.", "tree.", "live.", "guest.")
SKIPPED = tuple(name for name in SAID if name.startswith(OTHERS) and name != "guest.allocated")
PASSED = tuple(name for name in SAID if name not in SKIPPED)


def test_both_endians_pass_and_a_second_run_does_nothing(checkout: Checkout) -> None:
    first = run_fake(checkout, words=("-n", "2"))
    assert first.code == 0, first.err
    for endian in ("le", "be"):
        result = checkout.result(f"{endian}-minimal-gcc-14-fakelinux")
        assert result["verdict"]["status"] == "pass"
        checks = {check["name"]: check["status"] for check in result["verdict"]["checks"]}
        assert checks == {**dict.fromkeys(PASSED, "pass"), **dict.fromkeys(SKIPPED, "skip")}
        counts = json.loads(stage_of(result, "stubs"))
        assert (counts["text"], counts["inittext"], counts["text_end"], counts["endian"]) == (6, 2, 2, endian)
    again = checkout.doit("-n", "2", f"kernel={checkout.folder.parent / 'fakelinux'}")
    assert again.code == 0
    assert not re.search(r": ok, ", again.err), "the second run made a stage anew"
    assert re.search(rf"{CELL} +pass", again.out)


def test_what_fakelinux_cannot_have_is_missed_unless_it_is_declared(checkout: Checkout) -> None:
    """Without the declaration: no stop, nothing live, an empty report, and no look at the compiler."""
    pipeline = checkout.folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace(FAKELINUX_NOT_DUE, ""))
    done = run_fake(checkout)
    assert done.code == 1, done.err
    verdict = checkout.result(CELL)["verdict"]
    assert (verdict["status"], verdict["kind"]) == ("fail", "stub-audit")
    missed = failed_checks(checkout)
    assert missed.keys() == {"audit.complete"}
    named = set(missed["audit.complete"])
    # without ARCH_USING_PATCHABLE_FUNCTION_ENTRY in .config no record is ever taken for dead
    assert set(SKIPPED) - {"live.disabled-records"} <= named
    assert {"stops.off", "stops.init-memory", "sections.available_filter_functions"} <= named


def test_a_declaration_that_names_nothing_is_bad_input(checkout: Checkout) -> None:
    pipeline = checkout.folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("      stops.*: ", "      stosp.*: "))
    done = run_fake(checkout)
    assert (done.code, "did you mean 'stops." in done.err) == (2, True), done.err
    assert re.search(r"pipeline\.yaml:\d+:7: not_due: 'stosp\.\*' names nothing", done.err)


def test_an_audit_of_the_image_alone_says_what_does_not_hold_each_time(checkout: Checkout) -> None:
    """It exits 1 for a finding that nobody knows, made now or found in the cache."""
    (checkout.folder / "known-issues.yaml").unlink()
    edit, _ = FINDINGS["area"]
    first = run_fake(checkout, edit, words=(f"audit-image:{CELL}",))
    again = checkout.doit(f"audit-image:{CELL}", f"kernel={checkout.folder.parent / 'fakelinux'}")
    for done in (first, again):
        assert done.code == 1, done.err
        assert re.search(rf"^{CELL}, audit-object audit-image: fail \(stub-audit\); \d+ checks hold", done.out)
        assert re.search(r"^  fail  image\.stub-areas: 1: ftrace_ool_stub_text: ", done.out, re.MULTILINE)
    assert "boot:" not in first.err


def test_an_audit_whose_findings_are_known_ends_well_and_tells_them(checkout: Checkout) -> None:
    edit, _ = FINDINGS["post-link-checks"]
    done = run_fake(checkout, edit, words=(f"audit-image:{CELL}",))
    assert done.code == 0, done.err
    told = "3: CHKHEAD: not run; CHKREL: not run; CHKFTRC: not run"
    assert f"  known image.post-link-checks [no-post-link-checks]: {told}\n" in done.out


def test_one_check_of_the_build_that_did_not_run_is_no_known_issue(checkout: Checkout) -> None:
    edit, expected = FINDINGS["post-link-check"]
    done = run_fake(checkout, edit)
    assert done.code == 1, done.err
    assert failed_checks(checkout) == expected


@pytest.mark.parametrize(("stage", "finding"), [("audit-object", "two-nops"), ("live", "allocated")])
def test_each_audit_alone_has_a_verdict(checkout: Checkout, stage: str, finding: str) -> None:
    edit, expected = FINDINGS[finding]
    done = run_fake(checkout, edit, words=(f"{stage}:{CELL}",))
    assert done.code == 1, done.err
    (name,) = [name for name in expected if not name.startswith("boot.")]
    assert f"  fail  {name}: " in done.out


def test_a_cached_failure_of_a_stage_ends_with_1_each_time(checkout: Checkout) -> None:
    edit, _, shown = FAULTS["compile"]
    first = run_fake(checkout, edit, words=(f"compile:{CELL}",))
    again = checkout.doit(f"compile:{CELL}", f"kernel={checkout.folder.parent / 'fakelinux'}")
    assert (first.code, again.code) == (1, 1)
    assert shown in first.err
    assert shown in again.err


@pytest.mark.parametrize("name", ["vmlinux", "logs/link.log"])
def test_what_is_removed_from_the_results_is_put_back(checkout: Checkout, name: str) -> None:
    assert run_fake(checkout).code == 0
    file = checkout.folder / "build" / "results" / CELL / name
    before = file.read_bytes()
    file.unlink()
    done = checkout.doit(f"cell:{CELL}", f"kernel={checkout.folder.parent / 'fakelinux'}")
    assert done.code == 0, done.err
    assert file.read_bytes() == before


FAULTS = {
    "compile": (("text.c", "return x + 1;", "return y + 1;"), "build", "error: 'y' undeclared"),
    "link": (("text.c", "return x + 1;", "int no(void); return no();"), "build", "undefined reference"),
    "config": (("settled.config", "CONFIG_PPC_FTRACE_OUT_OF_LINE=y\n", ""), "config-drift", "PPC_FTRACE_OUT_OF_LINE"),
    "script-count": ((SCRIPT, "total=$(echo", "total=1$(echo"), "stub-audit", "ftrace_ool_stub_text_end"),
    "script-space": (
        (SCRIPT, ".space $end *", ".space ($end - 1) *"),
        "stub-audit",
        "ftrace_ool_stub_text_end: room: 56 bytes by oolong, 32 bytes by the tree's script",
    ),
    "script-zero": (
        (SCRIPT, ".space $init *", ".long 1\n.space $init *"),
        "stub-audit",
        "ftrace_ool_stub_inittext: contents: zero by oolong, not zero at +0x8",
    ),
    "script-assembly": ((SCRIPT, ".space $end *", ".spice $end *"), "stub-audit", "the tree's .S does not assemble"),
    "script-command": (
        ("Makefile", "@echo 'savedcmd_", "@echo 'nothing_"),
        "stub-audit",
        "what the two .S assemble to is not known",
    ),
    "script-crash": ((SCRIPT, "set -e", "set -e; exit 7"), "stub-audit", "ended with 7"),
    "panic": ((CONSOLE, POWER_OFF, "Kernel panic - not syncing: no init\n"), "panic", "no init"),
    "oops": ((CONSOLE, POWER_OFF, "Oops: Kernel access of bad area, sig: 11 [#1]\n\x02"), "oops", "sig: 11"),
    "ftrace-bug": ((CONSOLE, "oolong: 1", "------------[ ftrace bug ]------------\noolong: 1"), "ftrace-bug", "bug"),
    "warn": ((CONSOLE, "oolong: 1", "WARNING: a/ftrace.c:217 at x+0x0, CPU#0: a/1\noolong: 1"), "warn", "217"),
    "reset": ((CONSOLE, POWER_OFF, "\x02"), "reset", "was reset"),
    "guest-test": ((CONSOLE, "ok 2 function", "not ok 2 function"), "guest-test", "function tracer on one function"),
    "guest-silent": ((CONSOLE, "oolong: ok 2 function tracer on one function\n", ""), "guest-test", "planned 2"),
    "startup-test": ((CONSOLE, "Testing ftrace regs: PASSED\n", ""), "guest-test", "'ftrace regs' did not run"),
    "startup-failed": ((CONSOLE, "regs: PASSED", "regs: .. FAILED!"), "guest-test", "'ftrace regs' did not pass"),
    "sites": ((CONSOLE, "allocating @TOTAL@", "allocating 9"), "stub-audit", "9 sites, vmlinux has 8"),
    "total": ((CONSOLE, "info @TEXT@", "info 5"), "stub-audit", "5 sites, vmlinux has 6"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_gets_its_verdict(checkout: Checkout, fault: str) -> None:
    edit, kind, shown = FAULTS[fault]
    done = run_fake(checkout, edit)
    assert done.code == 1, done.err
    verdict = checkout.result(CELL)["verdict"]
    assert (verdict["status"], verdict["kind"]) == ("fail", kind)
    assert any(shown in line for line in verdict["lines"]), verdict["lines"]
    assert shown in done.out
    assert f"./doit again=1 cell:{CELL} kernel=" in done.out or f"./doit again=1 cell:{CELL} 'kernel=" in done.out


EVERY = ["one", "two", "three", "four", "five", "six", "first", "second"]
RAN = [f"\t@echo '  {check} vmlinux'\n" for check in ("CHKHEAD", "CHKREL ", "CHKFTRC")]
IDLE = "\t@echo \"make[4]: Nothing to be done for 'vmlinux.unstripped'.\"\n"
NO_RULE = ("Makefile", "".join(RAN), IDLE)
FINDINGS: dict[str, tuple[tuple[str, str, str], dict[str, list[str]]]] = {
    "post-link-checks": (NO_RULE, {"image.post-link-checks": ["CHKHEAD", "CHKREL", "CHKFTRC"]}),
    "post-link-check": (("Makefile", RAN[2], IDLE), {"image.post-link-checks": ["CHKFTRC"]}),
    "post-link-script": ((CHECKER, "in ftrace_caller", "in nothing"), {"image.post-link-scripts": ["ftrace_check.sh"]}),
    "area": (("reserve.S", "STUB_SIZE", "STUB_SIZE, 1"), {"image.stub-areas": ["ftrace_ool_stub_text"]}),
    "window": (
        ("Makefile", "-falign-functions=32", "-falign-functions=16 -mtraceback=no"),
        {"image.kprobe-window": ["one", "two", "three", "four", "five", "first"]},
    ),
    "two-nops": (("Makefile", "function-entry=1", "function-entry=2"), {"object.one-nop": EVERY}),
    "allocated": ((CONSOLE, "allocating @TOTAL@", "allocating 9"), {"boot.sites": [], "guest.allocated": []}),
}


CHECKERS = ("head_check.sh", "relocs_check.sh", "unrel_branch_check.sh", "ftrace_check.sh")


@pytest.mark.parametrize(
    ("gone", "missed"),
    [
        (CHECKERS[3:], {"image.post-link-scripts": ["ftrace_check.sh"]}),
        (CHECKERS, {"audit.complete": ["image.post-link-scripts"]}),
    ],
    ids=["one", "all"],
)
def test_a_tree_without_its_own_checks_of_the_image_fails(
    checkout: Checkout, gone: tuple[str, ...], missed: dict[str, list[str]]
) -> None:
    """One that is missing is a finding; without any of them nobody looked."""
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    for name in gone:
        (kernel / CHECKER).with_name(name).rename((kernel / CHECKER).with_name(f"renamed-{name}"))
    done = checkout.doit(f"cell:{CELL}", f"kernel={kernel}")
    assert done.code == 1, done.err
    assert failed_checks(checkout) == missed


def failed_checks(checkout: Checkout) -> dict[str, list[str]]:
    """The checks of the cell that do not hold, each with its victims."""
    verdict = checkout.result(CELL)["verdict"]
    return {check["name"]: victims(check) for check in verdict["checks"] if check["status"] == "fail"}


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_fails_its_checks_and_no_other(checkout: Checkout, finding: str) -> None:
    (checkout.folder / "known-issues.yaml").unlink()
    edit, expected = FINDINGS[finding]
    done = run_fake(checkout, edit)
    assert done.code == 1, done.err
    verdict = checkout.result(CELL)["verdict"]
    assert (verdict["status"], verdict["kind"]) == ("fail", "stub-audit")
    assert failed_checks(checkout) == expected


def test_a_miscount_of_the_trees_script_is_found_in_what_it_links(checkout: Checkout) -> None:
    """Linked with the script's own .S: init text has a stub too few."""
    pipeline = checkout.folder / "pipeline.yaml"
    text = pipeline.read_text().replace("  include:\n", "  include:\n    - {toolchain: gcc-14, stub_pass: kernel}\n")
    pipeline.write_text(text)
    count = "grep -c '\\.init\\.text')"
    done = run_fake(checkout, (SCRIPT, count, f"{count}; init=$((init - 1))"))
    assert done.code == 1, done.err
    failed = failed_checks(checkout)
    assert failed.keys() == {
        "stage.stubs",
        "object.tree-script",
        "stubs.link",
        "stubs.both-links",
        "object.stub-source",
        "image.stub-counts",
        "image.stub-allocation",
    }
    assert failed["image.stub-counts"] == ["ftrace_ool_stub_text_end", "ftrace_ool_stub_inittext"]
    assert failed["image.stub-allocation"] == ["second"]


def test_a_script_that_reserves_too_little_is_caught_by_a_patch_alone(checkout: Checkout, tmp_path: Path) -> None:
    """Its counts are right. With patches= and nothing else the kernel that boots has what the patched script makes."""
    kernel = fake_kernel(tmp_path / "fakelinux")
    pipeline = checkout.folder / "pipeline.yaml"
    text = with_kernel(pipeline.read_text(), "fake").replace("sources:\n", f"sources:\n  fake: {{dir: {kernel}}}\n")
    pipeline.write_text(text)
    lines = (kernel / SCRIPT).read_text().splitlines()
    before = ".space $end * FTRACE_OOL_STUB_SIZE"
    patch = tmp_path / "space.patch"
    patch.write_text(
        f"--- a/{SCRIPT}\n+++ b/{SCRIPT}\n@@ -{lines.index(before) + 1},1 +{lines.index(before) + 1},1 @@\n"
        f"-{before}\n+{before.replace('$end', '($end - 1)')}\n"
    )
    done = checkout.doit("cell:le-minimal-gcc-14-fake-patched", f"patches={patch}")
    assert done.code == 1, done.err
    result = checkout.result("le-minimal-gcc-14-fake-patched")
    assert result["stub_pass"] == "kernel"
    failed = {check["name"] for check in result["verdict"]["checks"] if check["status"] == "fail"}
    assert failed == {"stage.stubs", "object.tree-script", "image.stub-areas", "image.stub-size"}


def test_post_link_checks_that_are_known_not_to_run_make_no_cell_fail(checkout: Checkout) -> None:
    edit, _ = FINDINGS["post-link-checks"]
    assert run_fake(checkout, edit).code == 0
    checks = {check["name"]: check for check in checkout.result(CELL)["verdict"]["checks"]}
    check = checks["image.post-link-checks"]
    assert (check["status"], check["known"]) == ("known", ["no-post-link-checks"])


KNOWN_ERROR = """issues:
  - id: undeclared
    check: stage.compile
    covers: {names: ["*error: 'y' undeclared*"]}
    kernels: "==7.3.4"
    when: {kernel: fakelinux, toolchain: gcc-14}
    config: {PPC_FTRACE_OUT_OF_LINE: y}
    reason: a test
    evidence: a test
  - id: elsewhere
    check: stage.link
    covers: {names: ["undefined reference"]}
    when: {toolchain: gcc-14}
    config: {PPC_FTRACE_OUT_OF_LINE: y}
    kernels: "==7.3.4"
    reason: a test
    evidence: a test
"""


def test_a_build_that_is_known_to_fail_makes_no_cell_fail(checkout: Checkout) -> None:
    """Without the entry the same build fails; an edit of known-issues.yaml judges anew and builds nothing."""
    known = checkout.folder / "known-issues.yaml"
    known.write_text(KNOWN_ERROR)
    done = run_fake(checkout, ("text.c", "return x + 1;", "return y + 1;"))
    assert done.code == 0, done.err
    result = checkout.result(CELL)
    schema.check(result)
    verdict = result["verdict"]
    assert (verdict["status"], verdict["kind"], verdict["known_issues"]) == ("known", None, ["undeclared"])
    assert re.search(rf"{CELL} +known .*compile failed: .*'y' undeclared.*, 1 known issue$", done.out, re.MULTILINE)
    assert f"known: undeclared [{CELL}]" in done.out
    assert "known-issues.yaml: elsewhere matches nothing in this run" in done.out
    words = (f"cell:{CELL}", f"kernel={checkout.folder.parent / 'fakelinux'}")
    again = checkout.doit(*words)
    assert (again.code, ": ok, " in again.err) == (0, False)
    known.unlink()
    other = checkout.doit(*words)
    assert (other.code, checkout.result(CELL)["verdict"]["status"]) == (1, "fail")
    assert not re.findall(r"(\w+):\S+: (?:ok|fail), ", other.err)


def test_a_known_issue_that_no_longer_occurs_is_told(checkout: Checkout) -> None:
    (checkout.folder / "known-issues.yaml").write_text(KNOWN_ERROR)
    done = run_fake(checkout)
    assert (done.code, checkout.result(CELL)["verdict"]["status"]) == (0, "pass")
    note = "no longer occurs: undeclared (stage.compile): remove it from known-issues.yaml"
    assert note in checkout.result(CELL)["verdict"]["notes"]
    assert f"note: {note} [{CELL}]" in done.out


def test_a_malformed_known_issue_is_bad_input(checkout: Checkout) -> None:
    (checkout.folder / "known-issues.yaml").write_text(KNOWN_ERROR.replace("reason", "raeson"))
    done = checkout.doit("list", "--all")
    assert (done.code, "known-issues.yaml:8:5: issues[0]: unknown key 'raeson'" in done.err) == (2, True), done.err


def impatient(checkout: Checkout) -> None:
    """Let the machine have little time."""
    pipeline = checkout.folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("timeout: 180", "timeout: 3"))
    watch = checkout.folder / "oolong" / "machine" / "watch.py"
    text = watch.read_text().replace("SILENCE_SECONDS = 20.0", "SILENCE_SECONDS = 1.0")
    watch.write_text(text.replace("IDLE_SECONDS = 60.0", "IDLE_SECONDS = 2.0"))


@pytest.mark.parametrize(
    ("how", "kind", "why"),
    [("\x01", "hang", "not over after"), ("\x03", "hang", "idle for"), ("\x04", "timeout", "not over after")],
    ids=["loop", "idle", "babble"],
)
def test_a_hang_is_told_and_never_kept(checkout: Checkout, how: str, kind: str, why: str) -> None:
    impatient(checkout)
    done = run_fake(checkout, (CONSOLE, POWER_OFF, how))
    assert done.code == 1
    verdict = checkout.result(CELL)["verdict"]
    assert verdict["kind"] == kind
    assert why in verdict["summary"]
    again = checkout.doit(f"cell:{CELL}", f"kernel={checkout.folder.parent / 'fakelinux'}")
    assert f"boot:{CELL}: fail" in again.err, "a hang was taken from the cache"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_exit_codes_do_not_depend_on_how_doit_runs(checkout: Checkout, workers: str, tmp_path: Path) -> None:
    kernel = fake_kernel(tmp_path / "fakelinux")
    assert checkout.doit("-n", workers, f"kernel={kernel}").code == 0
    (kernel / "text.c").write_text("broken\n")
    assert checkout.doit("-n", workers, f"kernel={kernel}").code == 1
    assert checkout.doit("-n", workers, f"kernel={tmp_path / 'nowhere'}").code == 2
    patch = tmp_path / "x.patch"
    patch.write_text("--- a/text.c\n+++ b/text.c\n@@ -1 +1 @@\n-not there\n+new\n")
    assert checkout.doit("-n", workers, f"kernel={kernel}", f"patches={patch}").code == 2
    # a cache that cannot be written
    broken = Checkout(folder=checkout.folder, cache=Path("/proc/oolong"))
    done = broken.doit("-n", workers, f"kernel={kernel}")
    assert (done.code, "Traceback" in done.err) == (3, False)
