"""The checks of live memory: every record, every patch site and every stub word at every stop (pure).

What must be there follows from the image (oolong.audit.allocation) and from what the kernel itself says it is doing:
the flags of its records and its registered ops.
"""

from collections.abc import Iterator
from dataclasses import replace

from oolong.audit.check import Answer, Check, CheckStatus, finding, none_of, skipped
from oolong.audit.live_state import AT_ANY_TIME, Live
from oolong.audit.module_checks import MODULES
from oolong.audit.record_checks import RECORDS
from oolong.audit.registry import OFF, Checks, Needs
from oolong.audit.stub_checks import STUBS
from oolong.errors import Kind

SEEN = Checks[Live](needs=Needs.MEMORY, kind=Kind.STUB_AUDIT)
LIVE = SEEN, RECORDS, STUBS, MODULES


def checks(live: Live) -> Iterator[Check]:
    """All checks, each once over all stops."""
    without_stubs = None if live.image.out_of_line else skipped(OFF)
    made = (check for group in LIVE for check in group.run(live, without_stubs=without_stubs))
    return (_looked(live, check) for check in made)


def _looked(live: Live, check: Check) -> Check:
    """A check that holds of nothing says nothing: of a guest that came to no stop there is its last picture at most."""
    there = live.pictures if check.name in AT_ANY_TIME else live.surveys
    if there or check.status is not CheckStatus.PASS:
        return check
    return replace(check, status=CheckStatus.SKIP, evidence="the guest came to no stop at which it could be looked at")


def skipped_all(why: str) -> Iterator[Check]:
    """All checks of a kernel that was not looked at."""
    return (check for group in LIVE for check in group.skipped(why))


@SEEN.check(
    "live.readable",
    title="memory that can be read",
    holds="ftrace's structures can be read",
    failure="a pointer of the kernel's leads nowhere, and nothing more can be said of that stop",
)
def readable(live: Live) -> Answer:
    return none_of(live.unreadable, held=f"ftrace's structures at {len(live.surveys)} stops")


@SEEN.check(
    "live.stops",
    title="all stops",
    holds="the guest stopped at each point that its config has",
    failure="what was to be looked at there was not",
)
def stops(live: Live) -> Answer:
    there = [survey.name for survey in live.surveys]
    if live.due is None:
        return skipped(f"the guest failed; it had stopped at {', '.join(there) or 'no point'}")
    wrong = [finding(name, "the guest did not stop there") for name in live.due if name not in there]
    return none_of(wrong, held=", ".join(there))
