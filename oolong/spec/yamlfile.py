"""YAML text → values that know their place: every error about one names `file:line:column`.

Only what the files of a checkout need: mappings, lists, plain text and numbers; no aliases, no tags.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import yaml

from oolong.errors import BadInput, did_you_mean

LARGEST = 256 * 1024
DEEPEST = 16
UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS = {"map": "a mapping", "seq": "a list", "null": "empty", "bool": "a truth value", "int": "a number"}


class _Mark(Protocol):
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Value:
    """One node of a file; `path` is how to get there from the top (`configs.minimal.base`), for errors."""

    node: yaml.Node
    file: str
    path: str

    @property
    def where(self) -> str:
        return _where(self.file, self.node.start_mark)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    def fail(self, what: str, hint: str = "") -> NoReturn:
        """Raise BadInput about this value."""
        raise BadInput(f"{self.path}: {what}" if self.path else what, where=self.where, hint=hint)

    def entries(self) -> list[tuple["Value", "Value"]]:
        """(key, value) of a mapping with free keys, in order; no key occurs twice."""
        if not isinstance(self.node, yaml.MappingNode):
            self._wrong("a mapping")
        found: list[tuple[Value, Value]] = []
        first: dict[str, Value] = {}
        for key_node, value_node in self.node.value:
            key = Value(key_node, self.file, self.path)
            if not isinstance(key_node, yaml.ScalarNode):
                key.fail(f"a key must be text, not {key._kind}")
            name = key_node.value
            if name in first:
                key.fail(f"duplicate key {name!r}", f"the first one is at {first[name].where}")
            first[name] = key
            found.append((key, Value(value_node, self.file, f"{self.path}.{name}" if self.path else name)))
        return found

    def fields(self, *, required: Iterable[str] = (), optional: Iterable[str] = ()) -> dict[str, "Value"]:
        """A mapping whose keys are all known: those of `required`, which must be there, and of `optional`."""
        known = [*required, *optional]
        found: dict[str, Value] = {}
        for key, value in self.entries():
            name = key.text()
            if name not in known:
                key.fail(f"unknown key {name!r}", did_you_mean(name, known))
            found[name] = value
        for name in required:
            if name not in found:
                self.fail(f"missing key {name!r}")
        return found

    def items(self) -> list["Value"]:
        """The items of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            self._wrong("a list")
        return [Value(node, self.file, f"{self.path}[{index}]") for index, node in enumerate(self.node.value)]

    def text(self) -> str:
        """A scalar exactly as it is written (`6.10` stays `6.10`); not empty, not a truth value."""
        if not isinstance(self.node, yaml.ScalarNode):
            self._wrong("text")
        if self._tag not in ("str", "int", "float"):
            self._wrong("text", "in quotes it is text" if self._tag in ("bool", "timestamp") else "")
        if not self.node.value:
            self.fail("must not be empty")
        return str(self.node.value)

    def number(self, *, least: int, most: int) -> int:
        """A decimal whole number within bounds."""
        if self._tag != "int" or not re.fullmatch(r"0|[1-9][0-9]*", self.node.value):
            self._wrong("a whole number")
        digits = self.node.value
        if len(digits) > len(str(most)) or not least <= int(digits) <= most:
            self.fail(f"must be from {least} to {most}, not {digits}")
        return int(digits)

    def flag(self) -> bool:
        """`true` or `false`."""
        if self._tag != "bool" or self.node.value not in ("true", "false"):
            self._wrong("true or false")
        return bool(self.node.value == "true")

    def switch(self) -> bool:
        """`on` or `off`."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.value not in ("on", "off"):
            self._wrong("on or off")
        return bool(self.node.value == "on")

    def choice(self, candidates: Iterable[str], kind: str) -> str:
        """One of the candidates' names; `kind` is what they are, for the error."""
        # a member of an enum shows as itself, not as its text
        names = [str(candidate) for candidate in candidates]
        if (name := self.text()) not in names:
            self.fail(f"unknown {kind} {name!r}", did_you_mean(name, names))
        return name

    @property
    def _tag(self) -> str:
        return str(self.node.tag).removeprefix("tag:yaml.org,2002:")

    @property
    def _kind(self) -> str:
        if isinstance(self.node, yaml.ScalarNode) and self._tag in ("str", "float", "int"):
            return f"{self.node.value!r}"
        return _KINDS.get(self._tag, f"a value with the tag !!{self._tag}")

    def _wrong(self, expected: str, hint: str = "") -> NoReturn:
        self.fail(f"must be {expected}, not {self._kind}", hint)


def load(path: Path, *, file: str) -> Value:
    """The top of the one document in `path`, a mapping; `file` is its name in errors."""
    text = _read(path, file)
    try:
        _refuse_aliases(text, file)
        node = yaml.compose(text, _LOADER)
    except yaml.MarkedYAMLError as error:
        what = ", ".join(part for part in (error.context, error.problem) if part)
        hint = f"which begins at {_where(file, error.context_mark)}" if error.context_mark else ""
        raise BadInput(f"not valid YAML: {what}", where=_where(file, error.problem_mark), hint=hint) from error
    if node is None:
        raise BadInput("the file is empty", where=f"{file}:1:1")
    top = Value(node, file, "")
    if not isinstance(node, yaml.MappingNode):
        top._wrong("a mapping")
    return top


def _read(path: Path, file: str) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST + 1)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=file) from error
    if len(raw) > LARGEST:
        raise BadInput(f"larger than {LARGEST // 1024} KiB", where=file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("not UTF-8", where=_where_after(file, raw[: error.start].decode())) from error
    if odd := UNPRINTABLE.search(text):
        what = f"the character U+{ord(odd[0]):04X} is not allowed"
        raise BadInput(what, where=_where_after(file, text[: odd.start()]))
    return text


def _refuse_aliases(text: str, file: str) -> None:
    """A few aliases of aliases can stand for more values than fit in memory; brackets can nest without end."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise BadInput("aliases are not used here", where=_where(file, event.start_mark), hint="write it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise BadInput(f"nested deeper than {DEEPEST}", where=_where(file, event.start_mark))


def _where_after(file: str, before: str) -> str:
    return f"{file}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def _where(file: str, mark: _Mark | None) -> str:
    return f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
