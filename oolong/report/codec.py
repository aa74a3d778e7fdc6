"""Frozen dataclasses ↔ JSON, strictly, and the JSON Schema of the same types.

A document has all the keys of its type and no other: there are no defaults and nothing is ignored.
"""

from typing import Any, TypeVar

import msgspec

from oolong.errors import BadInput, did_you_mean

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ROOT = "$"

T = TypeVar("T")


def decode(read: Any, kind: type[T], *, where: str) -> T:
    """A dataclass from parsed JSON. BadInput names the place that does not fit, as `WHERE:$.key[index]`."""
    try:
        value = msgspec.convert(read, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        raise BadInput(what, where=f"{where}:{place.strip('`') or ROOT}") from error
    # msgspec ignores unknown keys of dataclasses and fills in the defaults of absent ones
    _compare_keys(read, encode(value), place=f"{where}:{ROOT}")
    return value


def encode(value: Any) -> Any:
    """A dataclass as the dictionaries, lists and scalars of parsed JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))


def schema(kind: type, *, title: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what `decode` accepts as a dataclass."""
    generated = msgspec.json.schema(kind)
    for definition in generated["$defs"].values():
        if "properties" in definition:
            definition["required"] = list(definition["properties"])
            definition["additionalProperties"] = False
            for field in definition["properties"].values():
                field.pop("default", None)
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
    return {"$schema": DIALECT, "title": title, **generated}


def _compare_keys(read: Any, written: Any, *, place: str) -> None:
    """BadInput for the first key that only one of two documents has, which are the same otherwise."""
    if isinstance(written, dict):
        if unknown := sorted(read.keys() - written.keys()):
            raise BadInput(f"unknown key {unknown[0]!r}", where=place, hint=did_you_mean(unknown[0], written))
        if missing := sorted(written.keys() - read.keys()):
            raise BadInput(f"missing key {missing[0]!r}", where=place)
        for key, value in written.items():
            _compare_keys(read[key], value, place=f"{place}.{key}")
    elif isinstance(written, list):
        for index, (one, other) in enumerate(zip(read, written, strict=True)):
            _compare_keys(one, other, place=f"{place}[{index}]")
