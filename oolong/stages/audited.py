"""What the stages that audit have in common: which kernels are audited, and how checks are handed on."""

from collections.abc import Iterable, Mapping
from typing import Any

from oolong.audit.check import Check
from oolong.engine.stage import Outcome, Work
from oolong.host.files import write_json
from oolong.stages.outputs import CHECKS

TRACED = "DYNAMIC_FTRACE"
# what has neither stubs nor plain function addresses
ELF_V1 = "PPC64_ELF_ABI_V1"
NO_DESCRIPTORS = "a kernel with function descriptors (ELFv1), which has no stubs, is not audited"


def is_traced(config: Mapping[str, str]) -> bool:
    """Whether a kernel has patch sites at all."""
    return config.get(TRACED) == "y"


def is_audited(config: Mapping[str, str]) -> bool:
    """Whether its patch sites can be audited."""
    return config.get(ELF_V1) != "y"


def audited(work: Work, checks: Iterable[Check], **data: Any) -> Outcome:
    """The checks as a file, and for the stages after this one."""
    listed = [check.as_json() for check in checks]
    write_json(work.folder / CHECKS, listed)
    return Outcome(artifacts={CHECKS: CHECKS}, data={"checks": listed, **data})
