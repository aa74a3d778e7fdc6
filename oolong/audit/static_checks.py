"""The static audit: the checks of vmlinux.o and those of vmlinux, each alone or together (pure)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from oolong.audit.area_checks import AREAS
from oolong.audit.check import Answer, Check, judged, skipped
from oolong.audit.image import Image
from oolong.audit.image_checks import BUILD, SITES
from oolong.audit.linked import Known, Linked
from oolong.audit.linker_script import FIXED, LinkerScript
from oolong.audit.object import Object
from oolong.audit.object_checks import OBJECT, Compiled
from oolong.audit.registry import OFF
from oolong.audit.window_checks import WINDOWS
from oolong.spec.model import OUT_OF_LINE
from oolong.stubs import counting

# all checks of an image
IMAGE = SITES, AREAS, BUILD, WINDOWS
NO_OBJECT = "vmlinux.o is not there"


def object_checks(
    found: Object,
    *,
    out_of_line: bool,
    source: Mapping[str, int] | None,
    reserve: int,
    script: LinkerScript | None = None,
) -> list[Check]:
    """`source` are the counts that the .S in use sets, `reserve` the stubs that the kernel has within .text anyway,
    `script` its linker script, if it is there. Where a kernel keeps no stubs nobody counts its patch sites."""
    counts = None if source is None else {**source, counting.RESERVED: reserve}
    compiled = Compiled(found, counts, script or FIXED)
    return list(OBJECT.run(compiled, without_stubs=None if out_of_line else skipped(OFF)))


def image_checks(kernel: Image, known: Known) -> list[Check]:
    """Nothing is compared with what was counted in vmlinux.o where a kernel keeps no stubs."""
    known = known if kernel.out_of_line else replace(known, plan=None)
    linked, without_stubs = Linked(kernel, known), None if kernel.out_of_line else _without_stubs(known)
    return [check for group in IMAGE for check in group.run(linked, without_stubs=without_stubs)]


def _without_stubs(known: Known) -> Answer:
    """The answer to what is about stubs, of a kernel without any."""
    if known.config is not None and known.config.get(OUT_OF_LINE) == "y":
        return judged(False, f"CONFIG_{OUT_OF_LINE}=y, and there is no stub area")
    return skipped(OFF)


def image_skipped(why: str) -> Iterator[Check]:
    """The checks of an image that was not looked at."""
    for group in IMAGE:
        yield from group.skipped(why)


def checks(
    found: Object | None,
    kernel: Image,
    known: Known,
    *,
    source: Mapping[str, int] | None,
    script: LinkerScript | None = None,
) -> list[Check]:
    """Both; what the image says of stubs decides for the object, what vmlinux.o needs is added to what is known.

    Without an object all its checks are skipped, and the image has what it allows."""
    if found is None:
        return [*OBJECT.skipped(NO_OBJECT), *image_checks(kernel, known)]
    reserve = counting.reserve_in(known.config) if known.config is not None else None
    if reserve is None:
        reserve = kernel.areas[counting.RESERVED].stubs if counting.RESERVED in kernel.areas else 0
    done = object_checks(found, out_of_line=kernel.out_of_line, source=source, reserve=reserve, script=script)
    return [*done, *image_checks(kernel, replace(known, plan=plan_of(found, reserve), untraced=found.untraced))]


def plan_of(found: Object, reserve: int) -> counting.StubPlan:
    """The stubs that the entries of an object need."""
    text, init = found.plan
    return counting.StubPlan(text=text, inittext=init, exit=0, reserve=reserve)
