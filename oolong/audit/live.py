"""The checks of live memory: every record, every patch site and every stub word at every stop (pure).

What must be there follows from the image (oolong.audit.allocation) and from what the kernel itself says it is doing:
the flags of its records and its registered ops. Each check is explained in docs/audit.md. Sources: ftrace_replace_code,
ftrace_get_call_inst and powerpc_rec_get_ops in arch/powerpc/kernel/trace/ftrace.c, ftrace_get_addr_curr in
kernel/trace/ftrace.c of Linux 7.3.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_

from oolong import powerpc
from oolong.audit.allocation import STUB_WORDS, Allocation, Stub, allocate, sequence, trampoline
from oolong.audit.survey import Module, Record, Survey
from oolong.audit.vmlinux import CALLERS, Image
from oolong.check import Check, none_of, skipped
from oolong.offsets import Offsets
from oolong.stops import INIT_MEMORY, OFF, QUIET

MAX_OFFSET, COUNT_BITS = "FTRACE_MCOUNT_MAX_OFFSET", "FTRACE_REF_MAX_SHIFT"
NOP_OPS, LIST_OPS = "ftrace_nop_ops", "ftrace_list_ops"
# at these nothing is traced
SILENT = INIT_MEMORY, OFF, QUIET
STUBS = (
    "live.sites",
    "live.stub-addresses",
    "live.stub-words",
    "live.stub-ops",
    "live.unused-stubs",
    "live.modules",
    "live.restored",
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
OFF_REASON = "out-of-line ftrace is off in this kernel"

Look = Callable[["Live", Survey], Iterator[tuple[str, str]]]


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
    """An image, the structure of its kernel, and what was found at each stop, in the order of the stops."""

    image: Image
    offsets: Offsets
    surveys: Sequence[Survey]

    @cached_property
    def allocation(self) -> Allocation:
        return allocate(self.image)

    @cached_property
    def flags(self) -> Flags:
        return Flags.of(self.offsets)

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
        if self.image.area_of(ip) is not None:
            return self.image.owner(ip)
        module = survey.module_at(ip)
        return f"{module.name}+{ip - module.text.start:#x}" if module else f"{ip:#x}"

    def stub_of(self, survey: Survey, record: Record) -> Stub | None:
        """The stub that a record must have."""
        if (found := self.allocation.stubs.get(record.ip)) is not None:
            return found
        module = survey.module_at(record.ip)
        return Stub(record.ip, module.name, 0, record.stub) if module else None


def checks(live: Live, *, due: Sequence[str] | None) -> Iterator[Check]:
    """All checks, each once over all stops; `due` are the stops that there must be, None for a guest that failed."""
    yield stops(live, due)
    yield records(live)
    yield from _stubs(live) if live.image.out_of_line else (skipped(name, OFF_REASON) for name in STUBS)
    yield none_of(
        "live.reference-counts", _over(live, _wrong_counts), held=_told(live, "records count the ops that trace them")
    )
    yield none_of("live.record-flags", _over(live, _wrong_flags), held=_told(live, "records do what is wanted of them"))
    yield disabled_records(live)
    yield silence(live)


def _stubs(live: Live) -> Iterator[Check]:
    """The checks of sites and stubs."""
    yield none_of("live.sites", _over(live, _wrong_sites), held=_told(live, "sites are a nop, or branch to their stub"))
    yield none_of("live.stub-addresses", _over(live, _wrong_addresses), held=_told(live, "records have their stub"))
    yield none_of("live.stub-words", _over(live, _wrong_words), held=_told(live, "stubs are right in each word"))
    yield none_of("live.stub-ops", _over(live, _wrong_ops), held=_told(live, "stubs point at the ops that they call"))
    yield none_of("live.unused-stubs", _over(live, _used_stubs), held=_told(live, "stubs in use, all others zero"))
    yield modules(live)
    yield restored(live)


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


def records(live: Live) -> Check:
    """A record for each patch site of the image, in order, as long as its code is there, and for each of a module."""
    return none_of("live.records", _over(live, _wrong_records), held=_told(live, "records, those of the image"))


def modules(live: Live) -> Check:
    """Each module has as many stubs as records, all within its own, each for one record; a stub that no record has is
    of code that the module had while it began, and calls ftrace with the ops of those who trace nothing."""
    count = sum(len(survey.modules) for survey in live.surveys)
    if not count:
        return skipped("live.modules", "no module was loaded at any stop")
    return none_of("live.modules", _over(live, _wrong_modules), held=f"{count} modules at {len(live.surveys)} stops")


def disabled_records(live: Live) -> Check:
    """The kernel has taken those records for dead that lie further after the nearest symbol than it allows."""
    limit = live.offsets.constant(MAX_OFFSET)
    name = "live.disabled-records"
    if limit is None:
        return skipped(name, f"this kernel has no {MAX_OFFSET}")
    dead = {
        site.ip
        for site in live.image.sites
        if site.function is None and (named := live.image.name_of(site.ip)) is not None and named[1] > limit
    }
    wrong = (
        (live.told(survey, record.ip), f"at {survey.name}: {'taken for dead' if is_dead else 'not taken for dead'}")
        for survey in live.surveys
        for record in survey.records
        if (is_dead := bool(record.flags & live.flags.disabled)) != (record.ip in dead)
        # the kernel looks for them in the background, and has done so when the list of functions was first read
        if is_dead or survey.name != INIT_MEMORY
    )
    return none_of(name, wrong, held=f"{len(dead)} dead records, as the image says")


def silence(live: Live) -> Check:
    """Where nothing is traced, no record is enabled."""
    wrong = (
        (live.told(survey, record.ip), f"at {survey.name}: enabled")
        for survey in live.surveys
        if survey.name in SILENT
        for record in survey.records
        if record.flags & live.flags.enabled
    )
    quiet = [survey.name for survey in live.surveys if survey.name in SILENT]
    return none_of("live.silence", wrong, held=f"no record is enabled at {', '.join(quiet)}")


def restored(live: Live) -> Check:
    """After all tracing, each site and each stub of the kernel's text is what it was before any."""
    name = "live.restored"
    there = {survey.name: survey for survey in live.surveys}
    if OFF not in there or QUIET not in there:
        return skipped(name, f"there is no stop {OFF} and {QUIET} to compare")
    before, after = there[OFF], there[QUIET]
    text = [stub for stub in live.allocation.stubs.values() if live.image.area_of(stub.ip) == "text"]
    pointers = live.image.stub_code // powerpc.INSTRUCTION
    wrong = (
        (live.told(after, stub.ip), "its site or its stub is not what it was")
        for stub in text
        if before.code.word(stub.ip) != after.code.word(stub.ip)
        or before.code.words(stub.code - live.image.stub_code, 4 + pointers)
        != after.code.words(stub.code - live.image.stub_code, 4 + pointers)
    )
    return none_of(name, wrong, held=f"{len(text)} sites and stubs are as before")


def _over(live: Live, look: Look) -> Iterator[tuple[str, str]]:
    for survey in live.surveys:
        for who, what in look(live, survey):
            yield who, f"at {survey.name}: {what}"


def _told(live: Live, what: str) -> str:
    counts = Counter(len(survey.records) for survey in live.surveys)
    told = ", ".join(f"{count} at {times} stops" for count, times in counts.items())
    return f"{told}: {what}"


def _wrong_records(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    wanted = live.all_ips if survey.name == INIT_MEMORY else live.lasting_ips
    there: list[int] = []
    outside: list[int] = []
    for record in survey.records:
        (outside if live.image.area_of(record.ip) is None else there).append(record.ip)
    counts = Counter(there)
    for ip in sorted(set(wanted) - set(there)):
        yield live.told(survey, ip), "has no record"
    for ip in sorted(set(there) - set(wanted)):
        yield live.told(survey, ip), "has a record, and is no patch site"
    for ip, count in counts.items():
        if count > 1:
            yield live.told(survey, ip), f"has {count} records"
    if set(wanted) == set(there) and max(counts.values(), default=1) == 1 and wanted != there:
        yield live.told(survey, there[0]), "the records are not sorted"
    for ip in outside:
        if survey.module_at(ip) is None:
            yield f"{ip:#x}", "a record in neither the kernel nor a module"


def _wrong_sites(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    for record in survey.records:
        word = survey.code.word(record.ip)
        if not record.flags & live.flags.enabled:
            wanted: int | None = powerpc.NOP
        else:
            wanted = powerpc.branch(record.ip, record.stub) if powerpc.reaches(record.ip, record.stub) else None
        if word != wanted or wanted is None:
            yield live.told(survey, record.ip), f"its site is {_word(word)}, not {_word(wanted)}"


def _wrong_addresses(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    seen = Counter(record.stub for record in survey.records)
    for record in survey.records:
        stub = live.stub_of(survey, record)
        if stub is None or record.stub != stub.code:
            told = f"{stub.code:#x} ({stub.area}[{stub.number}])" if stub else "any"
            yield live.told(survey, record.ip), f"its stub is at {record.stub:#x}, not at {told}"
        elif seen[record.stub] > 1:
            yield live.told(survey, record.ip), f"it shares its stub at {record.stub:#x}"


def _wrong_words(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    usual = live.usual_words
    busy = live.flags.enabled
    special = live.flags.regs | live.flags.direct | live.flags.tramp
    for record in survey.records:
        found = survey.code.words(record.stub, 4)
        own = live.allocation.stubs.get(record.ip)
        wanted = usual.get(record.ip) if own and own.code == record.stub else None
        if wanted is None or (record.flags & busy and record.flags & special):
            wanted = _wanted(live, survey, record)
        if found is None or wanted is None or tuple(found) != wanted:
            yield live.told(survey, record.ip), _unlike(found, wanted)


def _wanted(live: Live, survey: Survey, record: Record) -> tuple[int, ...] | None:
    """The instructions of a stub, where it is, as its record's flags have them; None if it cannot be so."""
    stub = live.stub_of(survey, record)
    if stub is None:
        return None
    stub = stub._replace(code=record.stub)
    return sequence(stub, _call_target(live, survey, record, stub.call))


def _call_target(live: Live, survey: Survey, record: Record, call: int) -> int | None:
    """Where the call in a stub goes: ftrace_caller, ftrace_regs_caller, or a function that is called directly."""
    caller = CALLERS[0]
    if record.flags & live.flags.enabled:
        if record.flags & live.flags.direct:
            direct = next((ops.direct[record.ip] for ops in survey.ops if record.ip in ops.direct), None)
            if direct is not None and powerpc.reaches(call, direct):
                return direct
        elif record.flags & live.flags.regs:
            caller = CALLERS[1]
    if live.image.area_of(record.ip) is not None:
        return trampoline(live.image, call, caller)
    module = survey.module_at(record.ip)
    return _way(live, module, call, caller) if module else None


def _way(live: Live, module: Module, call: int, caller: str) -> int:
    """Where a stub of a module calls so that it gets to one of CALLERS."""
    target = live.image.addresses.get(caller)
    if target is not None and powerpc.reaches(call, target):
        return target
    return module.tramp if caller == CALLERS[0] else module.tramp_regs


def _wrong_ops(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    if not live.image.stub_code:
        return  # a kernel whose stubs hold no pointer
    nothing, several = live.image.addresses.get(NOP_OPS), live.image.addresses.get(LIST_OPS)
    for record in survey.records:
        found = _ops_of(live, survey, record.stub)
        if found is None:
            yield live.told(survey, record.ip), "its stub is not in code"
            continue
        wanted: int | None
        if not record.flags & live.flags.enabled:
            wanted = nothing
        elif record.flags & live.flags.call_ops:
            own = [ops.address for ops in survey.ops if ops.takes(record.ip)]
            wanted = own[0] if len(own) == 1 else None
        else:
            wanted = several
        if found != wanted:
            told = "no ops at all" if wanted is None else f"{wanted:#x}"
            yield live.told(survey, record.ip), f"its stub points at the ops {found:#x}, not {told}"


def _ops_of(live: Live, survey: Survey, code: int) -> int | None:
    """The pointer before the instructions of a stub."""
    halves = survey.code.words(code - live.image.stub_code, 2)
    if halves is None:
        return None
    return halves[0] | halves[1] << 32 if live.image.little else halves[0] << 32 | halves[1]


def _used_stubs(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    """Every stub that no record has is zero: exactly as many are filled as there are records."""
    used = Counter(stub.area for stub in live.allocation.stubs.values())
    size = live.image.stub_size // powerpc.INSTRUCTION
    for name, area in live.image.areas.items():
        if live.image.area_of(area.address) == "inittext" and survey.name != INIT_MEMORY:
            continue
        rest = area.address + used[name] * live.image.stub_size
        there = survey.code.words(rest, (area.stubs - used[name]) * size) if area.stubs > used[name] else None
        if area.stubs > used[name] and (there is None or any(there)):
            place = next((at for at, word in enumerate(there or ()) if word), 0)
            yield f"{name}[{used[name] + place // size}]", "is not zero, and no record has it"


def _wrong_modules(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    for module in survey.modules:
        own = [record for record in survey.records if module.text.holds(record.ip)]
        if not own and not module.stub_count and not module.stubs_used:
            continue
        if not (module.stubs_used == module.stub_count >= len(own)):
            yield module.name, f"{module.stub_count} stubs, {module.stubs_used} of them used, for {len(own)} records"
        if own != sorted(own):
            yield module.name, "its records are not sorted"
        yield from ((live.told(survey, record.ip), why) for record in own if (why := _outside(live, module, record)))
        yield from _left_stubs(live, survey, module, {record.stub for record in own})


def _left_stubs(live: Live, survey: Survey, module: Module, used: Container[int]) -> Iterator[tuple[str, str]]:
    """A module's stubs that no record has."""
    size, before = live.image.stub_size, live.image.stub_code
    if not module.text.holds(module.stubs, module.stub_count * size):
        yield module.name, f"its {module.stub_count} stubs from {module.stubs:#x} on are not all in its code"
        return
    for number in range(module.stub_count):
        code = module.stubs + number * size + before
        if code in used:
            continue
        who, found = f"{module.name}[{number}]", survey.code.words(code, STUB_WORDS)
        back = powerpc.branch_target(found[-1], code + 3 * powerpc.INSTRUCTION) if found else None
        if back is None or module.text.holds(back):
            yield who, "no record has it, and it does not go back to code that is gone"
            continue
        stub = Stub(back - powerpc.INSTRUCTION, module.name, number, code)
        wanted = sequence(stub, _way(live, module, stub.call, CALLERS[0]))
        if found is None or wanted is None or tuple(found) != wanted:
            yield who, _unlike(found, wanted)
        elif before and _ops_of(live, survey, code) != live.image.addresses.get(NOP_OPS):
            yield who, "no record has it, and it does not point at the ops of those who trace nothing"


def _outside(live: Live, module: Module, record: Record) -> str | None:
    if not live.image.stub_size:
        return "nobody knows the size of a stub"
    number, rest = divmod(record.stub - live.image.stub_code - module.stubs, live.image.stub_size)
    if rest or not 0 <= number < module.stub_count:
        return (
            f"its stub at {record.stub:#x} is none of the {module.stub_count} of its module from {module.stubs:#x} on"
        )
    if not module.text.holds(record.stub, 4 * powerpc.INSTRUCTION):
        return f"its stub at {record.stub:#x} is not in the code of its module"
    return None


def _wrong_counts(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    for record in survey.records:
        if record.flags & live.flags.disabled:
            continue
        users = sum(ops.takes(record.ip) for ops in survey.ops)
        counted, enabled = record.flags & live.flags.users, bool(record.flags & live.flags.enabled)
        if counted != users or enabled != bool(users):
            told = "enabled" if enabled else "not enabled"
            yield live.told(survey, record.ip), f"{told}, counts {counted} users, and {users} ops trace it"


def _wrong_flags(live: Live, survey: Survey) -> Iterator[tuple[str, str]]:
    """Who is not traced has nothing on; who is, does what is wanted of it, some of it only for a single user, and a
    direct call only if an ops has one for it."""
    flags, transient, pairs = live.flags, live.flags.transient, live.flags.pairs
    direct = {ip for ops in survey.ops for ip in ops.direct}
    for record in survey.records:
        own = record.flags
        if not own & flags.enabled:
            if own & transient:
                yield live.told(survey, record.ip), f"not enabled, with the flags {own:#x}"
            continue
        if own & flags.disabled:
            yield live.told(survey, record.ip), "enabled, and taken for dead"
        several = own & flags.users != 1
        for what, wanted, done, alone in pairs:
            if bool(own & done) != (bool(own & wanted) and not (alone and several)):
                yield live.told(survey, record.ip), f"{what}: wanted and done are not the same in the flags {own:#x}"
        if bool(own & flags.wants_direct) != (record.ip in direct):
            yield live.told(survey, record.ip), f"a direct call: not as the ops have it in the flags {own:#x}"


def _word(word: int | None) -> str:
    return "nothing that can be" if word is None else f"{word:08x}"


def _unlike(found: Sequence[int] | None, wanted: Sequence[int] | None) -> str:
    told = " ".join(f"{word:08x}" for word in found) if found is not None else "no code"
    return f"its stub is {told}, not {' '.join(f'{word:08x}' for word in wanted) if wanted else 'anything that can be'}"
