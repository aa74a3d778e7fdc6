"""What the tree's look at the compiler came to: fit, unfit, or nothing, where its script broke."""

import pytest

from oolong.audit.check import CheckStatus
from oolong.audit.rules import PROBED
from oolong.host.sandbox import Ran
from oolong.stages.audit_object import PROBE_SAYS, compared

SCRIPT = "check-fpatchable-function-entry.sh"
ON, OFF = {PROBED: "y"}, {PROBED: "n"}


def ran(returncode: int, *lines: str) -> Ran:
    return Ran(returncode=returncode, timed_out=False, lines=lines)


@pytest.mark.parametrize(
    ("done", "config", "status"),
    [
        (ran(0), ON, "pass"),
        (ran(1), OFF, "pass"),
        (ran(0), OFF, "fail"),
        (ran(1), ON, "fail"),
    ],
)
def test_a_look_that_was_made_is_compared_with_the_configuration(
    done: Ran, config: dict[str, str], status: str
) -> None:
    assert compared(SCRIPT, done, config, kconfig="").status == status


@pytest.mark.parametrize("config", [ON, OFF])
@pytest.mark.parametrize(
    "done",
    [
        ran(127, "bash: /src/arch/powerpc/tools/check.sh: No such file or directory"),
        ran(126, "bash: gcc: Permission denied"),
        ran(2, "syntax error near unexpected token"),
        ran(139),
        # the script has awk and grep tell it: what they say is no answer of the compiler's
        ran(1, "check.sh: line 21: awk: command not found"),
        ran(0, "check.sh: line 21: awk: command not found"),
    ],
)
def test_a_script_that_broke_says_nothing_of_the_compiler(done: Ran, config: dict[str, str]) -> None:
    check = compared(SCRIPT, done, config, kconfig="")
    assert check.status is CheckStatus.FAIL
    assert [(one.who, one.rule) for one in check.findings] == [(SCRIPT, "")]
    assert all(line in check.evidence for line in done.lines)


def test_what_the_script_answers_with_is_what_grep_ends_with() -> None:
    assert PROBE_SAYS == {0: True, 1: False}
