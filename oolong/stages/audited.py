"""What the stages that audit have in common: which kernels are audited, and how checks are handed on."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from oolong.audit.check import Check
from oolong.engine.stage import Outcome, Work, failed
from oolong.errors import BadInput, Kind
from oolong.host.files import write_json
from oolong.kbuild import config as kconfig
from oolong.spec.model import Cell
from oolong.stages.outputs import CHECKS

# without it a kernel has no patch sites
TRACED = "DYNAMIC_FTRACE"
# what has neither stubs nor plain function addresses
ELF_V1 = "PPC64_ELF_ABI_V1"
NO_DESCRIPTORS = "a kernel with function descriptors (ELFv1), which has no stubs, is not audited"

# audit-object writes it for audit-image: the functions that have no entry
UNTRACED = "untraced.json"

Config = Mapping[str, str]
Audit = Callable[[Cell, Work, Config], Outcome]


def where_audited(skipped: Callable[[str], Iterable[Check]]) -> Callable[[Audit], Callable[[Cell, Work], Outcome]]:
    """An audit by the kernel's configuration, which is the input `config` of its stage.

    A kernel without patch sites has no checks; one that cannot be audited has them `skipped` for a reason.
    """

    def guard(audit: Audit) -> Callable[[Cell, Work], Outcome]:
        @wraps(audit)
        def guarded(cell: Cell, work: Work) -> Outcome:
            config = kconfig.read(work.path("config"))
            if config.get(TRACED) != "y":
                return Outcome(data={"checks": []})
            if config.get(ELF_V1) == "y":
                return audited(work, skipped(NO_DESCRIPTORS))
            try:
                return audit(cell, work, config)
            except BadInput as error:
                # the build and the boot made these files: what is wrong with them is not a person's fault
                return failed(Kind.STUB_AUDIT, (str(error.what),), blocks=False)

        return guarded

    return guard


def audited(work: Work, checks: Iterable[Check], *, files: Iterable[str] = (), **data: Any) -> Outcome:
    """The checks as a file, and for the stages after this one; `files` are others that the stage has written."""
    listed = [check.as_json() for check in checks]
    write_json(work.folder / CHECKS, listed)
    return Outcome(artifacts={name: name for name in (CHECKS, *files)}, data={"checks": listed, **data})
