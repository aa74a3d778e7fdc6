"""The checks of where the guest's kprobes landed: as the kernel's search has it, and on whom (pure)."""

from dataclasses import dataclass

from oolong.audit import guest_rules, kprobe_model, probes
from oolong.audit.check import Answer, Finding, finding, none_of, skipped
from oolong.audit.guest_state import Heard
from oolong.audit.image import Function
from oolong.audit.registry import AUDITED, WITH_REPORT, Checks, Due, Needs
from oolong.audit.survey import Record
from oolong.errors import Kind
from oolong.machine.stops import KPROBE

# what the guest says of a probe that no patch site serves
BY_TRAP = "-"
PROBED_ON_FTRACE = AUDITED & WITH_REPORT & Due(symbols={"KPROBES_ON_FTRACE": "y", "KPROBE_EVENTS": "y"})

PROBED = Checks[Heard](needs=Needs.GUEST, kind=Kind.GUEST_TEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A kprobe by the name of a function: `own` the patch site of the function, `modelled` the record that the
    kernel's search comes to, `said` the guest's word on it, `landed` the patch site that it uses in memory, None where
    it uses none that bears the name."""

    function: Function
    own: int | None
    modelled: Record | None
    said: str | None
    landed: int | None


@PROBED.check(
    "guest.kprobe-as-modelled",
    title="kprobes where the kernel's search puts them",
    holds="each kprobe by name is on the patch site that the kernel's own search comes to in its records, or on the "
    "function's own; no other record has a kprobe's registers",
    failure="the search for patch sites is broken, or a probe is where nobody asked for one",
    due=PROBED_ON_FTRACE,
)
def as_modelled(heard: Heard) -> Answer:
    """Each kprobe is where the kernel's own search over its records puts it, wrong as that may be, or on its own
    function, as with a search that was put right; and nothing else is probed."""
    if (why := _unprobed(heard)) is not None:
        return skipped(why)
    every = _probes(heard)
    wrong = [found for one in every if (found := _not_modelled(heard, one)) is not None]
    expected = {one.landed for one in every}
    wrong += [
        finding(heard.names.get(ip, f"{ip:#x}"), "has a kprobe's registers, and no probe was to land there", ip)
        for ip in sorted(_used(heard) - expected)
    ]
    searched = sum(one.modelled is not None and one.landed == one.modelled.ip for one in every)
    held = f"{searched} of {len(every)} kprobes are where the kernel's search puts them, the others on their function"
    return none_of(wrong, held=held)


@PROBED.check(
    "guest.kprobe-location",
    title="where kprobes land",
    holds="kprobes by the names of 12 short functions and 3 long ones use their own sites",
    failure="a probe on one function is hit by another",
    due=PROBED_ON_FTRACE,
)
def location(heard: Heard) -> Answer:
    """A kprobe by a function's name uses that function's patch site.

    One on another function is explained by a rule only if the kernel's own search put it there."""
    if (why := _unprobed(heard)) is not None:
        return skipped(why)
    every = _probes(heard)
    wrong = (
        finding(one.function.name, f"its kprobe landed on {_place(heard, one)}", one.own, rule=_rule(heard, one))
        for one in every
        if one.own is None or one.landed != one.own
    )
    return none_of(wrong, held=f"{len(every)} kprobes, each on the function that it was asked for")


def _unprobed(heard: Heard) -> str | None:
    """Why no kprobe is looked for, if so."""
    if not heard.said.kprobes_on_ftrace:
        return "kprobes do not use ftrace in this configuration"
    if heard.at(KPROBE) is None:
        return f"no kprobes were tried: the guest did not stop at {KPROBE}"
    if not heard.whole and not heard.said.landed:
        return "the guest failed before it had reported its kprobes"
    return None


def _probes(heard: Heard) -> list[Probe]:
    """All that the guest was asked for, and what it reports besides."""
    image, survey = heard.live.image, heard.at(KPROBE)
    assert survey is not None
    named = {function.name: function for function in image.functions}
    own = {site.function.address: site.ip for site in image.sites if site.function}
    used, found = _used(heard), []
    for name in dict.fromkeys((*probes.asked(image), *heard.said.landed)):
        function = named.get(name, Function(0, 0, 0, name))
        modelled = kprobe_model.place_of(survey, function.address)
        said = heard.said.landed.get(name)
        mine = own.get(function.address)
        places = (modelled.ip if modelled else None, mine)
        bearing = (ip for ip in used if heard.names.get(ip) == said)
        landed = next((ip for ip in places if ip in used and heard.names.get(ip) == said), next(bearing, None))
        found.append(Probe(function=function, own=mine, modelled=modelled, said=said, landed=landed))
    return found


def _used(heard: Heard) -> set[int]:
    """The patch sites that are on and save registers, as those of kprobes do, while nobody traces."""
    survey, flags = heard.at(KPROBE), heard.live.flags
    both = flags.enabled | flags.regs
    return {record.ip for record in survey.records if record.flags & both == both} if survey else set()


def _not_modelled(heard: Heard, one: Probe) -> Finding | None:
    modelled, disabled = one.modelled, heard.live.flags.disabled
    if one.landed is not None and (one.landed == one.own or (modelled and one.landed == modelled.ip)):
        return None
    is_trap = modelled is None or bool(modelled.flags & disabled)
    if is_trap and one.said == BY_TRAP:
        return None
    wanted = "no patch site" if modelled is None or is_trap else heard.live.image.told(modelled.ip)
    what = f"its kprobe is to land on {wanted}, the guest says {one.said or 'nothing of it'}"
    if one.said and one.said == heard.names.get(modelled.ip if modelled else 0):
        what += ", and in memory it is not on"
    return finding(one.function.name, what, one.own)


def _place(heard: Heard, one: Probe) -> str:
    if one.landed is None:
        return "no patch site" if one.said in (None, BY_TRAP) else f"{one.said}, which in memory is not on"
    return heard.live.image.told(one.landed)


def _rule(heard: Heard, one: Probe) -> str:
    if one.modelled is None or one.landed != one.modelled.ip:
        return ""
    return guest_rules.of_probe(heard.live.image, heard.limit, one.function, one.landed)
