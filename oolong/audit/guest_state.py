"""What the checks of the guest's own words are about: those words, and what its memory and image say of the same
(pure)."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from oolong.audit.check import Finding
from oolong.audit.guest_report import INVALID, LETTERS, Enabled, Told
from oolong.audit.live_state import Live
from oolong.audit.rules import MAX_OFFSET
from oolong.audit.survey import Record, Survey
from oolong.machine.stops import INIT_MEMORY

Thing = TypeVar("Thing", bound=Hashable)


@dataclass(frozen=True)
class Heard:
    """What was found in a guest's memory, and what it said."""

    live: Live
    said: Told

    @property
    def whole(self) -> bool:
        """Whether the guest came to its end, so that it has reported all that it was to report."""
        return self.live.due is not None

    @property
    def stops(self) -> Iterator[Survey]:
        """The stops at which the guest's init reports something: the first is before it runs."""
        return (survey for survey in self.live.surveys if survey.name != INIT_MEMORY)

    def at(self, stop: str) -> Survey | None:
        return next((survey for survey in self.live.surveys if survey.name == stop), None)

    @cached_property
    def limit(self) -> int | None:
        """How far after a symbol a record may lie that is not taken for dead; None where this kernel sets no limit."""
        return self.live.offsets.constant(MAX_OFFSET)

    @cached_property
    def names(self) -> Mapping[int, str]:
        """The name that the kernel has for each patch site of the image."""
        named = ((site.ip, self.live.image.name_of(site.ip)) for site in self.live.image.sites)
        return {ip: found[0] for ip, found in named if found}

    def has(self, function: str) -> bool:
        """Whether the kernel has a function of that name."""
        return any(name == function for _, name in self.live.image.symbols)

    def traced(self, survey: Survey, records: Iterable[Record]) -> Iterator[Enabled]:
        """The lines that the kernel prints of records, in their order; those of a module have no name."""
        letters = [(letter, bit) for letter, name in LETTERS.items() if (bit := self.live.offsets.enum(name))]
        users, disabled = self.live.flags.users, self.live.flags.disabled
        told: dict[int, tuple[int, str]] = {}
        for record in records:
            flags = record.flags
            if flags not in told:
                is_dead = flags & disabled
                told[flags] = (
                    0 if is_dead else flags & users,
                    "" if is_dead else "".join(letter for letter, bit in letters if flags & bit),
                )
            name, module = self.available(survey, record)
            yield Enabled(name, module, *told[flags])

    def available(self, survey: Survey, record: Record) -> tuple[str, str | None]:
        """What available_filter_functions has for a record, and the module; that of a module has no name."""
        ip = record.ip
        name = self.names.get(ip)
        if name is None:
            module = survey.module_at(ip)
            return "", module.name if module else None
        if record.flags & self.live.flags.disabled:
            return f"{INVALID}_{ip - self.start_of(ip)}", None
        return name, None

    def start_of(self, ip: int) -> int:
        """Where the symbol lies that the kernel names a place by; the place itself where none does."""
        named = self.live.image.name_of(ip)
        return ip - named[1] if named else ip


def differences(
    theirs: Iterable[Thing], ours: Iterable[Thing], told: Callable[[Thing, str], Finding], *, where: str
) -> Iterator[Finding]:
    """A finding for each thing that is in a list of the guest more or less often than in its memory."""
    theirs, ours = list(theirs), list(ours)
    if theirs == ours:
        # most lists are in the order of the records, and need no counting
        return
    listed, there = Counter(theirs), Counter(ours)
    for thing, count in (there - listed).items():
        yield told(thing, f"is in memory, and not in {where}{_times(count)}")
    for thing, count in (listed - there).items():
        yield told(thing, f"is in {where}, and not so in memory{_times(count)}")


def _times(count: int) -> str:
    return "" if count == 1 else f", {count} times"
