"""The static audit: all checks of vmlinux.o and vmlinux together (pure)."""

from collections.abc import Mapping
from dataclasses import replace

from oolong.audit import image_checks, object
from oolong.audit.check import Check
from oolong.audit.image import Image
from oolong.audit.image_checks import OFF, Known
from oolong.audit.object import Object
from oolong.stubs import counting


def checks(found: Object, kernel: Image, known: Known, *, source: Mapping[str, int] | None) -> list[Check]:
    """`source` are the counts that the linked .S sets; what vmlinux.o needs is added to what is known."""
    if not kernel.out_of_line:
        return [*object.without_stubs(found, OFF), *image_checks.checks(kernel, known)]
    text, init = found.plan
    reserve = kernel.areas[counting.RESERVED].stubs if counting.RESERVED in kernel.areas else 0
    plan = counting.StubPlan(text=text, inittext=init, exit=0, reserve=reserve)
    counts = None if source is None else {**source, counting.RESERVED: reserve}
    return [*object.checks(found, source=counts), *image_checks.checks(kernel, replace(known, plan=plan))]
