"""The checks of live memory: every record, every patch site and every stub word at every stop (pure).

What must be there follows from the image (oolong.audit.allocation) and from what the kernel itself says it is doing:
the flags of its records and its registered ops. Each check is explained in docs/audit.md.
"""

from collections.abc import Iterator, Sequence

from oolong.audit import module_checks, record_checks, stub_checks
from oolong.audit.check import Check, none_of, skipped
from oolong.audit.image_checks import OFF
from oolong.audit.live_state import Live

STUBS = (
    "live.sites",
    "live.stub-addresses",
    "live.stub-words",
    "live.stub-ops",
    "live.unused-stubs",
    "live.restored",
    "live.modules",
)
NAMES = (
    "live.stops",
    "live.records",
    *STUBS,
    "live.reference-counts",
    "live.record-flags",
    "live.disabled-records",
    "live.silence",
)


def checks(live: Live, *, due: Sequence[str] | None) -> Iterator[Check]:
    """All checks, each once over all stops; `due` are the stops that there must be, None for a guest that failed."""
    yield stops(live, due)
    yield record_checks.records(live)
    if live.image.out_of_line:
        yield from stub_checks.checks(live)
        yield module_checks.modules(live)
    else:
        yield from (skipped(name, OFF) for name in STUBS)
    yield record_checks.reference_counts(live)
    yield record_checks.record_flags(live)
    yield record_checks.disabled_records(live)
    yield record_checks.silence(live)


def skipped_all(why: str) -> Iterator[Check]:
    """All checks of a kernel that was not looked at."""
    yield from (skipped(name, why) for name in NAMES)


def stops(live: Live, due: Sequence[str] | None) -> Check:
    """The guest stood still at each point that is due."""
    there = [survey.name for survey in live.surveys]
    if due is None:
        return skipped("live.stops", f"the guest failed; it had stopped at {', '.join(there)}")
    wrong = [(name, "the guest did not stop there") for name in due if name not in there]
    return none_of("live.stops", wrong, held=", ".join(there))
