"""Where the members of a kernel's structures lie, and what its constants are: as its own build says, kept as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from oolong.errors import BadInput, BadOutput

# no structure of ftrace has a thousandth of it; debug information may claim any number
LARGEST = 1 << 20


class Field(NamedTuple):
    """Where a member begins and how much it takes, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Struct:
    """A structure of `size` bytes; members of a structure inside it are called `outer.inner`, one level deep.
    ValueError for sizes and offsets that are negative or more than LARGEST."""

    size: int
    members: Mapping[str, Field]

    def __post_init__(self) -> None:
        for number in (self.size, *chain.from_iterable(self.members.values())):
            if not 0 <= number <= LARGEST:
                raise ValueError(f"a struct of {self.size} bytes with {number} in its layout: no kernel has that")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """The structures, enumerators and macros of one kernel, by name. What a kernel does not have is not there: asked
    for, a structure or a member is BadOutput, an enumerator or a macro None."""

    structs: Mapping[str, Struct]
    enums: Mapping[str, int]
    constants: Mapping[str, int]

    def size(self, struct: str) -> int:
        """The bytes that a structure takes."""
        return self._struct(struct).size

    def offset(self, struct: str, member: str) -> int:
        """Where a member begins, in bytes from the start of its structure."""
        return self.field(struct, member).offset

    def field(self, struct: str, member: str) -> Field:
        """Where a member begins and its size, both in bytes."""
        members = self._struct(struct).members
        if member not in members:
            raise BadOutput(f"the kernel's struct {struct} has no member {member}")
        return members[member]

    def has(self, struct: str, member: str) -> bool:
        """Whether the kernel has the structure and the member in it."""
        return struct in self.structs and member in self.structs[struct].members

    def enum(self, name: str) -> int | None:
        return self.enums.get(name)

    def constant(self, name: str) -> int | None:
        return self.constants.get(name)

    def as_json(self) -> dict[str, Any]:
        return {
            "structs": {
                name: {
                    "size": struct.size,
                    "members": {
                        member: {"offset": field.offset, "size": field.size} for member, field in struct.members.items()
                    },
                }
                for name, struct in self.structs.items()
            },
            "enums": dict(self.enums),
            "constants": dict(self.constants),
        }

    def _struct(self, name: str) -> Struct:
        if name not in self.structs:
            raise BadOutput(f"the kernel has no struct {name}")
        return self.structs[name]


NOTHING = Offsets(structs={}, enums={}, constants={})


def load(path: Path) -> Offsets:
    """Read what as_json made; BadInput if the file is not that."""
    try:
        return parse(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(f"no offsets of a kernel: {error}", where=str(path)) from error


def parse(document: Any) -> Offsets:
    """The inverse of as_json; what is missing raises KeyError, what is of another shape TypeError and the like."""
    return Offsets(
        structs={
            name: Struct(
                size=int(struct["size"]),
                members={
                    member: Field(offset=int(field["offset"]), size=int(field["size"]))
                    for member, field in struct["members"].items()
                },
            )
            for name, struct in document["structs"].items()
        },
        enums={name: int(value) for name, value in document["enums"].items()},
        constants={name: int(value) for name, value in document["constants"].items()},
    )
