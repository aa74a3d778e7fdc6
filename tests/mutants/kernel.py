"""A kernel whose image and memory are changed."""

from collections.abc import Mapping
from dataclasses import dataclass

from oolong.audit.image import Image
from oolong.audit.linked import Known
from oolong.binary.structs import Offsets
from oolong.machine.memory import Snapshot

# an address where nothing is
WILD = 0xC00F_FFFF_DEAD_0000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """An image, the layout of its structures, its memory at each stop, and what is known of it besides."""

    image: Image
    offsets: Offsets
    snapshots: Mapping[str, Snapshot]
    known: Known
