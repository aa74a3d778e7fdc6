"""How a check is declared: its name, what it needs, and what it means where it does not hold.

A check is one function that is decorated with `Checks.check`, or a name that is declared for what stages and the
verdict decide. What is not declared has no name to be told by, and the verdict refuses what oolong.audit.catalogue
does not have.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import Any, Generic, TypeVar

from oolong.audit.check import Answer, Check, skipped
from oolong.errors import Kind
from oolong.spec.model import OUT_OF_LINE


class Needs(StrEnum):
    """What must be there so that a check can be decided."""

    TREE = "tree"
    OBJECT = "object"
    IMAGE = "image"
    MEMORY = "memory"
    GUEST = "guest"
    STAGE = "stage"


class Trait(StrEnum):
    """What decides of a cell, besides its .config, which checks there must be."""

    MODULES = "modules"
    REPORT = "report"
    LINK_BOTH = "link-both"
    EXPECTED = "expected"
    RECORDED = "recorded"
    TREE = "tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When a check must be made, and must not be skipped: all of its conditions hold.

    `symbols` maps symbols of .config, without CONFIG_, to their value (`n` is not set); of `one_of`, if it is not
    empty, one symbol is y; `traits` are those of the cell; `since` is the first release of the kernel. Nothing demands
    a check that is `never` due: it stands in for others.
    """

    symbols: Mapping[str, str] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    traits: frozenset[Trait] = frozenset()
    since: tuple[int, ...] = ()
    never: bool = False

    def __and__(self, other: "Due") -> "Due":
        """Both conditions."""
        assert not (self.one_of and other.one_of), "one of some, and one of others"
        return Due(
            symbols={**self.symbols, **other.symbols},
            one_of=self.one_of or other.one_of,
            traits=self.traits | other.traits,
            since=max(self.since, other.since),
            never=self.never or other.never,
        )

    def holds(self, *, config: Mapping[str, str], traits: Collection[Trait], release: tuple[int, ...] | None) -> bool:
        """Whether the check is due in a cell; `release` None: no condition on it holds."""
        return (
            not self.never
            and all(config.get(symbol, "n") == value for symbol, value in self.symbols.items())
            and (not self.one_of or any(config.get(symbol) == "y" for symbol in self.one_of))
            and self.traits <= frozenset(traits)
            and (not self.since or (release is not None and release >= self.since))
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "symbols": dict(self.symbols),
            "one_of": list(self.one_of),
            "traits": sorted(self.traits),
            "since": ".".join(map(str, self.since)),
            "never": self.never,
        }


ALWAYS, NEVER = Due(), Due(never=True)
# a kernel with patch sites whose functions have no descriptors (ELFv1): no other is audited
AUDITED = Due(symbols={"DYNAMIC_FTRACE": "y", "PPC64_ELF_ABI_V1": "n"})
WITH_STUBS = Due(symbols={OUT_OF_LINE: "y"})
# why what is about stubs does not apply
OFF = "out-of-line ftrace is off in this kernel"
# the first release with out-of-line ftrace, with all that the audit and the guest ask of a kernel
SINCE_OUT_OF_LINE = Due(since=(6, 13))
WITH_REPORT = Due(traits=frozenset({Trait.REPORT}))
# what the needs of a check demand, where it says nothing else
DUE: dict[Needs, Due] = {
    Needs.TREE: AUDITED & WITH_STUBS & Due(traits=frozenset({Trait.TREE})),
    Needs.OBJECT: AUDITED,
    Needs.IMAGE: AUDITED,
    Needs.MEMORY: AUDITED,
    Needs.GUEST: AUDITED & WITH_REPORT,
    Needs.STAGE: ALWAYS,
}

# the stages whose results hold the checks; what these stages need is made with them
DECIDED_BY: dict[Needs, tuple[str, ...]] = {
    Needs.TREE: ("tree",),
    Needs.OBJECT: ("audit-object",),
    Needs.IMAGE: ("audit-image",),
    Needs.MEMORY: ("live",),
    Needs.GUEST: ("live",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of a check before it is made: `title` in a few words, `holds` when it does, `failure` what it
    means if not, as Markdown; `kind` is what it then makes of a cell (None: the failed stage says).

    `stages` must be made to decide it. `about_stubs` says that it applies to kernels with out-of-line ftrace alone.
    `due` says when it must be made, and not skipped.
    """

    name: str
    title: str
    needs: Needs
    kind: Kind | None
    holds: str
    failure: str
    stages: tuple[str, ...]
    about_stubs: bool
    due: Due

    def came(self, answer: Answer, *, known: tuple[str, ...] = ()) -> Check:
        """The answer with the name of the check."""
        return Check(
            name=self.name,
            status=answer.status,
            evidence=answer.evidence,
            findings=answer.findings,
            count=answer.count,
            known=known,
        )


Subject = TypeVar("Subject")


def declare(
    name: str,
    *,
    title: str,
    needs: Needs,
    kind: Kind | None,
    holds: str,
    failure: str,
    stages: tuple[str, ...] | None = None,
    about_stubs: bool = False,
    due: Due | None = None,
) -> Entry:
    """A check whose answer comes from elsewhere; `due` replaces what its needs demand."""
    demanded = DUE[needs] if due is None else due
    return Entry(
        name=name,
        title=title,
        needs=needs,
        kind=kind,
        holds=holds,
        failure=failure,
        stages=DECIDED_BY[needs] if stages is None else stages,
        about_stubs=about_stubs,
        due=demanded & WITH_STUBS if about_stubs else demanded,
    )


class Checks(Generic[Subject]):
    """The checks of one kind of subject, in the order in which they are declared."""

    def __init__(self, *, needs: Needs, kind: Kind, about_stubs: bool = False) -> None:
        self._needs, self._kind, self._about_stubs = needs, kind, about_stubs
        self._made: list[tuple[Entry, Callable[[Subject], Check]]] = []

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(entry for entry, _ in self._made)

    def check(
        self, name: str, *, title: str, holds: str, failure: str, about_stubs: bool = False, due: Due | None = None
    ) -> Callable[[Callable[[Subject], Answer]], Callable[[Subject], Check]]:
        """Make a check of a function that looks at a subject; `due` replaces what its needs demand."""
        entry = declare(
            name,
            title=title,
            needs=self._needs,
            kind=self._kind,
            holds=holds,
            failure=failure,
            about_stubs=about_stubs or self._about_stubs,
            due=due,
        )

        def decorate(look: Callable[[Subject], Answer]) -> Callable[[Subject], Check]:
            @wraps(look)
            def made(subject: Subject) -> Check:
                return entry.came(look(subject))

            self._made.append((entry, made))
            return made

        return decorate

    def run(self, subject: Subject, *, without_stubs: Answer | None = None) -> Iterator[Check]:
        """Each check once; `without_stubs`, where given, is the answer to those that are about stubs."""
        for entry, made in self._made:
            yield entry.came(without_stubs) if entry.about_stubs and without_stubs else made(subject)

    def skipped(self, why: str) -> Iterator[Check]:
        """All checks of a subject that was not looked at."""
        return (entry.came(skipped(why)) for entry, _ in self._made)
