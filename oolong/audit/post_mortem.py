"""The last picture of a guest that died, or had to be stopped: what can be said of it (pure).

It was taken at no agreed point, so that the kernel may have been in the middle of something.
"""

from dataclasses import replace

from oolong.audit.check import CheckStatus
from oolong.audit.image import Image
from oolong.audit.live_state import Live
from oolong.audit.record_checks import records
from oolong.audit.stub_checks import sites, stub_addresses, stub_words, unused_stubs
from oolong.audit.survey import Survey, survey
from oolong.binary.structs import Offsets
from oolong.errors import BadOutput
from oolong.machine.memory import Memory, Unreadable
from oolong.machine.stops import END, INIT_MEMORY


def last_survey(memory: Memory, image: Image, offsets: Offsets) -> Survey:
    """What ftrace had in the end; Unreadable and BadOutput as of any survey, and where it had nothing yet."""
    found = survey(END, memory, image, offsets)
    if not found.records:
        raise BadOutput("ftrace had no records yet")
    has_init = any(image.inittext.holds(record.ip) for record in found.records)
    if has_init:
        found = replace(survey(INIT_MEMORY, memory, image, offsets), name=END)
    if not image.out_of_line:
        return found
    without = {record for record in found.records if not record.stub}
    if has_init and any(image.area_of(record.ip) for record in without):
        raise BadOutput("ftrace had not yet given all its records a stub")
    # the functions of a module that is just being loaded have no stubs yet
    loaded = (record for record in found.records if record not in without or image.area_of(record.ip))
    return replace(found, records=tuple(loaded))


def survey_at(name: str, memory: Memory, image: Image, offsets: Offsets) -> Survey:
    """What ftrace had at a stop, or in the end; raises what a survey raises."""
    return last_survey(memory, image, offsets) if name == END else survey(name, memory, image, offsets)


def accusations(memory: Memory, image: Image, offsets: Offsets) -> tuple[str, ...]:
    """What is wrong with the memory of a guest that stands still somewhere, one line for each check that fails; nothing
    where nothing can be read."""
    try:
        live = Live(image, offsets, (), last=last_survey(memory, image, offsets))
    except (Unreadable, BadOutput):
        return ()
    about_stubs = (sites, stub_addresses, stub_words, unused_stubs) if image.out_of_line else ()
    made = (check(live) for check in (*about_stubs, records))
    return tuple(f"{one.name}: {one.evidence}" for one in made if one.status is CheckStatus.FAIL)
