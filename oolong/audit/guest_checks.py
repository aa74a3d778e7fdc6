"""The checks of what the guest says of itself: its counts and lists, and where its kprobes landed (pure)."""

from collections.abc import Iterator

from oolong.audit.check import Check
from oolong.audit.guest_report import Told
from oolong.audit.guest_state import Heard
from oolong.audit.list_checks import LISTS
from oolong.audit.live_state import Live
from oolong.audit.probe_checks import PROBED

GUEST = LISTS, PROBED


def checks(live: Live, said: Told) -> Iterator[Check]:
    """All checks, each once."""
    heard = Heard(live, said)
    return (check for group in GUEST for check in group.run(heard))


def skipped_all(why: str) -> Iterator[Check]:
    """All checks of a guest that was not heard."""
    return (check for group in GUEST for check in group.skipped(why))
