"""A linked kernel with all that is known of it: what explanations are made from (pure)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from oolong.audit.allocation import Allocation, allocate
from oolong.audit.check import Check
from oolong.audit.image import Image
from oolong.audit.survey import Survey
from oolong.binary.structs import NOTHING, Offsets
from oolong.explain.model import Pointer


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A linked kernel and what is known of it: the names of its `data` by address; the `offsets` and `surveys` of its
    boot, where it was booted; the `checks` of its audit, as far as there are any."""

    image: Image
    data: Mapping[int, str] = field(default_factory=dict)
    offsets: Offsets = NOTHING
    surveys: Sequence[Survey] = ()
    checks: Sequence[Check] = ()

    @cached_property
    def allocation(self) -> Allocation:
        return allocate(self.image)

    @cached_property
    def used(self) -> Counter[str]:
        """How many stubs of each area are in use."""
        return Counter(stub.area for stub in self.allocation.stubs.values())

    @cached_property
    def full(self) -> Mapping[int, str]:
        """The area that had no stub left for a site."""
        return dict(self.allocation.overflowed)

    def told(self, address: int) -> str:
        """A place in code for people."""
        return self.image.told(address)

    def pointer(self, address: int) -> Pointer:
        """A pointer to data for people."""
        return Pointer(address, self.data.get(address, hex(address)) if address else "zero")
