"""How a check is declared: its name, what it needs, and what it means where it does not hold.

A check is one function that is decorated with `Checks.check`, or a name that is declared for what stages and the
verdict decide. What is not declared has no name to be told by, and the verdict refuses what oolong.audit.catalogue
does not have.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Generic, TypeVar

from oolong.audit.check import Answer, Check, skipped
from oolong.errors import Kind


class Needs(StrEnum):
    """What must be there so that a check can be decided."""

    TREE = "tree"
    OBJECT = "object"
    IMAGE = "image"
    MEMORY = "memory"
    GUEST = "guest"
    STAGE = "stage"


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
    """

    name: str
    title: str
    needs: Needs
    kind: Kind | None
    holds: str
    failure: str
    stages: tuple[str, ...]
    about_stubs: bool

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
) -> Entry:
    """A check whose answer comes from elsewhere."""
    return Entry(
        name=name,
        title=title,
        needs=needs,
        kind=kind,
        holds=holds,
        failure=failure,
        stages=DECIDED_BY[needs] if stages is None else stages,
        about_stubs=about_stubs,
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
        self, name: str, *, title: str, holds: str, failure: str, about_stubs: bool = False
    ) -> Callable[[Callable[[Subject], Answer]], Callable[[Subject], Check]]:
        """Make a check of a function that looks at a subject."""
        entry = declare(
            name,
            title=title,
            needs=self._needs,
            kind=self._kind,
            holds=holds,
            failure=failure,
            about_stubs=about_stubs or self._about_stubs,
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
