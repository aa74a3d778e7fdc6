"""A linked kernel as its checks see it: the image, what is known of it besides, and the stubs on paper (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from oolong.audit.allocation import Allocation, allocate
from oolong.audit.image import Image
from oolong.stubs.counting import StubPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a kernel besides its image; None where it is not.

    `plan` is what vmlinux.o needs; `config` its .config (symbol without CONFIG_ → value); `max_offset` its
    FTRACE_MCOUNT_MAX_OFFSET, `without_max_offset` that it has none; `post_link` the names of the post-link checks that
    its build ran, `post_link_idle` whether make had nothing to do for vmlinux.unstripped; `untraced` the functions that
    have no entry in vmlinux.o.
    """

    plan: StubPlan | None = None
    config: Mapping[str, str] | None = None
    max_offset: int | None = None
    without_max_offset: bool = False
    post_link: frozenset[str] | None = None
    post_link_idle: bool = False
    untraced: frozenset[str] | None = None


@dataclass(frozen=True)
class Linked:
    """An image, and what is known of it besides."""

    image: Image
    known: Known = field(default_factory=Known)

    @cached_property
    def allocation(self) -> Allocation:
        return allocate(self.image)
