"""Where the kernel puts a kprobe by a function's name: its own search, done again over its live records (pure).

Sources: kprobe_lookup_name in arch/powerpc/kernel/kprobes.c, lookup_rec and ftrace_cmp_recs in kernel/trace/ftrace.c,
__inline_bsearch in include/linux/bsearch.h of Linux 7.3.
"""

from collections.abc import Sequence

from oolong.audit.rules import KPROBE_WINDOW
from oolong.audit.survey import Record, Survey
from oolong.binary import powerpc


def place_of(survey: Survey, address: int) -> Record | None:
    """The record whose patch site a kprobe on the function at an address gets: any one in reach that the search comes
    to first; None where there is none, and the probe is a trap."""
    return search(survey, address, address + KPROBE_WINDOW)


def search(survey: Survey, start: int, end: int) -> Record | None:
    """The record that ftrace_location_range finds between two addresses, `end` included: that of the first group that
    has one, as a binary search comes to it."""
    for group in survey.by_group():
        if not group or end < group[0].ip or start >= group[-1].ip + powerpc.INSTRUCTION:
            continue
        if (found := _bsearch(group, start, end)) is not None:
            return found
    return None


def _bsearch(group: Sequence[Record], start: int, end: int) -> Record | None:
    base, number = 0, len(group)
    while number > 0:
        pivot = base + (number >> 1)
        record = group[pivot]
        if end < record.ip:
            pass
        elif start >= record.ip + powerpc.INSTRUCTION:
            base = pivot + 1
            number -= 1
        else:
            return record
        number >>= 1
    return None
