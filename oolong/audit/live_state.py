"""What the checks of live memory are about: an image, and what was found in memory at each stop (pure)."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import or_

from oolong.audit.allocation import Allocation, allocate, sequence, trampoline
from oolong.audit.check import Finding, finding
from oolong.audit.image import CALLERS, Code, Image
from oolong.audit.survey import Survey
from oolong.binary.structs import Offsets
from oolong.machine.stops import END, INIT_MEMORY

COUNT_BITS = "FTRACE_REF_MAX_SHIFT"
NOP_OPS, LIST_OPS = "ftrace_nop_ops", "ftrace_list_ops"

# the enumerators of a record's flags that kernels have had as long as the audit can read them, and those that are as
# old as stubs out of line, or younger than other kernels that can be audited
FLAGS = (
    "FTRACE_FL_ENABLED",
    "FTRACE_FL_DISABLED",
    "FTRACE_FL_REGS_EN",
    "FTRACE_FL_REGS",
    "FTRACE_FL_TRAMP_EN",
    "FTRACE_FL_TRAMP",
)
NEWER_FLAGS = "FTRACE_FL_DIRECT_EN", "FTRACE_FL_DIRECT", "FTRACE_FL_CALL_OPS_EN", "FTRACE_FL_CALL_OPS"

# a look at one stop
Look = Callable[["Live", Survey], Iterator[Finding]]
# a look at a picture that was taken at any time: each finding, and whether what is there is right in another state of
# the record, so that the kernel may have been just between the two
AnyTimeLook = Callable[["Live", Survey], Iterator[tuple[Finding, bool]]]
# the checks that hold at any time, not only where the guest stands still at an agreed point
AT_ANY_TIME = "live.records", "live.sites", "live.stub-addresses", "live.stub-words", "live.unused-stubs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The bits of a record's flags that the audit reads, and how many low bits count users."""

    enabled: int
    disabled: int
    regs: int
    wants_regs: int
    tramp: int
    wants_tramp: int
    direct: int
    wants_direct: int
    call_ops: int
    wants_call_ops: int
    users: int

    @classmethod
    def of(cls, offsets: Offsets) -> "Flags":
        """From the enumerators of the kernel's build; what it does not have is no bit."""
        bits = offsets.constant(COUNT_BITS)
        return cls(
            enabled=offsets.enum("FTRACE_FL_ENABLED") or 0,
            disabled=offsets.enum("FTRACE_FL_DISABLED") or 0,
            regs=offsets.enum("FTRACE_FL_REGS_EN") or 0,
            wants_regs=offsets.enum("FTRACE_FL_REGS") or 0,
            tramp=offsets.enum("FTRACE_FL_TRAMP_EN") or 0,
            wants_tramp=offsets.enum("FTRACE_FL_TRAMP") or 0,
            direct=offsets.enum("FTRACE_FL_DIRECT_EN") or 0,
            wants_direct=offsets.enum("FTRACE_FL_DIRECT") or 0,
            call_ops=offsets.enum("FTRACE_FL_CALL_OPS_EN") or 0,
            wants_call_ops=offsets.enum("FTRACE_FL_CALL_OPS") or 0,
            users=(1 << bits) - 1 if bits else 0,
        )

    @property
    def pairs(self) -> tuple[tuple[str, int, int, bool], ...]:
        """(what, what is wanted of a record, what it does, whether only for one user) of what a record can do."""
        return (
            ("registers", self.wants_regs, self.regs, False),
            ("a trampoline", self.wants_tramp, self.tramp, False),
            ("a direct call", self.wants_direct, self.direct, True),
            ("a call by ops", self.wants_call_ops, self.call_ops, True),
        )

    @property
    def transient(self) -> int:
        """The bits that a record has only while somebody traces it."""
        return reduce(or_, (wanted | done for _, wanted, done, _ in self.pairs), self.enabled | self.users)


@dataclass(frozen=True)
class Live:
    """An image, the structure of its kernel, and what was found at each stop, in the order of the stops.

    `due` are the stops that there must be, None for a guest that failed; `unreadable` says which could not be read.
    `last` is what was found in a guest that died, or had to be stopped, somewhere.
    """

    image: Image
    offsets: Offsets
    surveys: Sequence[Survey]
    due: Sequence[str] | None = None
    unreadable: Sequence[Finding] = ()
    last: Survey | None = None

    @property
    def pictures(self) -> tuple[Survey, ...]:
        """What was found at all stops, and in the end."""
        return (*self.surveys, *((self.last,) if self.last else ()))

    def has_init(self, survey: Survey) -> bool:
        """Whether the memory of init is there, as it must be, or as it still may be in the end."""
        if survey.name != END:
            return survey.name == INIT_MEMORY
        return any(self.image.inittext.holds(record.ip) for record in survey.records)

    @cached_property
    def allocation(self) -> Allocation:
        return allocate(self.image)

    @cached_property
    def flags(self) -> Flags:
        return Flags.of(self.offsets)

    @property
    def missing_flags(self) -> list[str]:
        """The enumerators that the kernel's build must have told of, and did not: without them 0 is compared with 0."""
        wanted = (*FLAGS, *(NEWER_FLAGS if self.image.out_of_line else ()))
        return [name for name in wanted if not self.offsets.enum(name)]

    @cached_property
    def all_ips(self) -> list[int]:
        """The patch sites of the image, sorted."""
        return [site.ip for site in self.image.sites]

    @cached_property
    def lasting_ips(self) -> list[int]:
        """Those that are still there when the memory of init is gone."""
        return [ip for ip in self.all_ips if self.image.text.holds(ip)]

    @cached_property
    def usual_words(self) -> dict[int, tuple[int, ...]]:
        """The instructions of every stub of the image that calls ftrace_caller, by patch site."""
        return {
            ip: made
            for ip, stub in self.allocation.stubs.items()
            if (made := sequence(stub, trampoline(self.image, stub.call, CALLERS[0]))) is not None
        }

    def told(self, survey: Survey, ip: int) -> str:
        """A patch site for people."""
        return told(self.image, survey, ip)

    def at(self, survey: Survey, ip: int, what: str) -> Finding:
        """A finding about a patch site."""
        return finding(self.told(survey, ip), what, ip)


def pointer_at(code: Code, address: int, *, little: bool) -> int | None:
    """The pointer at an address, which need be no multiple of its size; None where there is no code."""
    halves = code.words(address, 2)
    if halves is None:
        return None
    return halves[0] | halves[1] << 32 if little else halves[0] << 32 | halves[1]


def told(image: Image, survey: Survey, ip: int) -> str:
    """A patch site for people: the function of the kernel, or the place in its module."""
    if image.area_of(ip) is not None:
        return image.owner(ip)
    module = survey.module_at(ip)
    return f"{module.name}+{ip - module.text.start:#x}" if module else f"{ip:#x}"


def over(live: Live, look: Look) -> Iterator[Finding]:
    """What a look finds at all stops."""
    for survey in live.surveys:
        for found in look(live, survey):
            yield replace(found, stop=survey.name)


def at_any_time(live: Live, look: AnyTimeLook) -> Iterator[Finding]:
    """What a look finds at all stops, and in the last picture.

    The kernel changes one record after the other. So in a picture that was taken in the middle of that one record may
    be in its other state, and no second one.
    """
    yield from over(live, lambda live, survey: (found for found, _ in look(live, survey)))
    if live.last:
        found = [(replace(one, stop=live.last.name), is_between) for one, is_between in look(live, live.last)]
        may_be = sum(is_between for _, is_between in found) == 1
        yield from (one for one, is_between in found if not (is_between and may_be))


def told_of_all(live: Live, what: str, *, last: bool = False) -> str:
    """What was found of how many records at the stops; and in the `last` picture, if there is one."""
    counts = Counter(len(survey.records) for survey in live.surveys)
    told = [f"{count} at {times} stops" for count, times in counts.items()]
    if last and live.last:
        told.append(f"{len(live.last.records)} in the end")
    return f"{', '.join(told)}: {what}"
