"""The calls of _mcount in a kernel without stubs: -mprofile-kernel and -pg (pure).

The compiler makes the calls, the build an entry for each, in the same object. With -mprofile-kernel objtool does it,
for all sections with code (annotate_call_site, tools/objtool/check.c of Linux 7.3). With -pg scripts/recordmcount.c
does it, for .text and all sections whose names begin so, .init.text, .ref.text, .sched.text, .spinlock.text,
.irqentry.text, .softirqentry.text, .kprobes.text and .cpuidle.text (is_mcounted_section_name). It passes over
.exit.text, .noinstr.text and .head.text. Functions there are `notrace` or assembly, and have no call. In exit text a
call without an entry does no harm.
"""

from collections.abc import Iterator, Sequence

from oolong.audit.image import Image
from oolong.binary import powerpc


def of_mcount(image: Image) -> Iterator[int]:
    """The addresses of all calls of _mcount; where it is out of reach, of calls to a stub of the linker that leads
    there."""
    calls = list(image.code.calls())
    targets = {image.addresses["_mcount"], *_stubs(image, calls)}
    return (at for at, target in calls if target in targets)


def goes_to_mcount(image: Image, at: int, target: int) -> bool:
    """Whether a call at an address reaches _mcount, perhaps by a stub of the linker."""
    mcount = image.addresses["_mcount"]
    return target == mcount or (not powerpc.reaches(at, mcount) and _is_linkers(image, target))


def _stubs(image: Image, calls: Sequence[tuple[int, int]]) -> Iterator[int]:
    """The stubs of the linker that lead to _mcount: a branch says so itself; one that loads the address from a table is
    known by the entries of those who call it."""
    mcount = image.addresses["_mcount"]
    # in order of address: what lies between two that reach it does so, too
    if not calls or all(powerpc.reaches(calls[end][0], mcount) for end in (0, -1)):
        return
    recorded = frozenset(image.slots)
    for at, target in calls:
        if not powerpc.reaches(at, mcount) and _is_linkers(image, target):
            leads = powerpc.branch_target(image.code.word(target) or 0, target) == mcount
            if leads or at in recorded:
                yield target


def _is_linkers(image: Image, target: int) -> bool:
    """Stubs of the linker have no symbols."""
    return image.function_at(target) is None
