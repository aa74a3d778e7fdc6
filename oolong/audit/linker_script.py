"""A linker script → where it puts an input section of vmlinux.o: into text, init text, exit text, or elsewhere (pure).

As much of the language as the kernel's preprocessed arch/powerpc/kernel/vmlinux.lds uses: output sections, their input
section descriptions, assignments. The first description that matches a section takes it (ld.info, "Input Section
Basics"); symbols, not names of output sections, say what is text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from typing import NamedTuple

from oolong.errors import BadInput

TEXT, INIT, EXIT = "text", "inittext", "exit text"
# between which symbols is what
BOUNDS = {
    "_stext": ("_etext", TEXT),
    "_sinittext": ("_einittext", INIT),
    "__exittext_begin": ("__exittext_end", EXIT),
}
FILE = "vmlinux.o"
WORDS = re.compile(r'/\*.*?(?:\*/|\Z)|"[^"]*"|[(){};,:=]|[^\s(){};,:="]+', re.DOTALL)
SORTED = re.compile(r"SORT(_\w+)?|REVERSE")
WILD = re.compile(r"[*?\[]")
# what looks like an input section description and is none
FUNCTIONS = frozenset(
    ("ALIGN", "ASSERT", "BYTE", "SHORT", "LONG", "QUAD", "SQUAD", "FILL", "ASCIZ", "PROVIDE", "HIDDEN")
)
# what may stand before an output section without a semicolon
COMMANDS = frozenset(["ASSERT", "ENTRY", "HIDDEN", "PROVIDE", "PROVIDE_HIDDEN"])


class Pattern(NamedTuple):
    """A pattern of section names in a description, and the `place` that it leads to."""

    place: str
    glob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkerScript:
    """The patterns of a script that apply to vmlinux.o, in order; `told` says which script that is."""

    told: str
    patterns: tuple[Pattern, ...]
    plain: dict[str, int]
    wild: tuple[int, ...]
    search: "re.Pattern[str]"

    def place_of(self, section: str) -> str | None:
        """TEXT, INIT, EXIT, or the name of another output section that takes a section of vmlinux.o; None for none."""
        found = self.search.match(section)
        first = min(
            self.plain.get(section, len(self.patterns)),
            self.wild[int(found.lastgroup[1:])] if found and found.lastgroup else len(self.patterns),
        )
        return self.patterns[first].place if first < len(self.patterns) else None


def parse(text: str, *, told: str) -> LinkerScript:
    """BadInput where its braces do not match, or it says of no section that it is text."""
    words = [word for word in WORDS.findall(text) if not word.startswith("/*")]
    patterns = tuple(_Reader(words, told).patterns())
    if not any(pattern.place == TEXT for pattern in patterns):
        raise BadInput("it puts no section between _stext and _etext", where=told)
    wild = tuple(number for number, pattern in enumerate(patterns) if WILD.search(pattern.glob))
    plain: dict[str, int] = {}
    for number, pattern in enumerate(patterns):
        plain.setdefault(pattern.glob, number)
    # Python spells the negation of a class with ! alone
    globs = (translate(patterns[number].glob.replace("[^", "[!")) for number in wild)
    search = "|".join(f"(?P<p{place}>{glob})" for place, glob in enumerate(globs))
    return LinkerScript(told=told, patterns=patterns, plain=plain, wild=wild, search=re.compile(search or "(?!)"))


def _name_of(said: Sequence[str]) -> str:
    """The name of an output section from all that stands before its brace, the end of the section before it included:
    its region, its segments, what fills it."""
    at = 0
    while at < len(said) - 1:
        if said[at] in (":", "=", ">"):
            at += 2
        elif said[at].startswith((">", "AT>")):
            at += 1
        else:
            break
    return said[at] if at < len(said) else ""


class _Reader:
    """Goes through the words once; `_open` are the symbols of BOUNDS that were set and not yet ended."""

    def __init__(self, words: Sequence[str], told: str) -> None:
        self._words, self._told = words, told
        self._at = 0
        self._open: list[str] = []

    def patterns(self) -> Iterator[Pattern]:
        while self._at < len(self._words):
            word = self._next()
            if word == "SECTIONS" and self._peek() == "{":
                self._next()
                yield from self._sections()
            elif word in "({":
                self._skip(word)

    def _sections(self) -> Iterator[Pattern]:
        said: list[str] = []
        while (word := self._next()) != "}":
            if word == "(":
                self._skip(word)
                if said and said[-1] in COMMANDS:
                    said.pop()
            elif word == "{":
                yield from self._output(_name_of(said))
                said = []
            elif word in (";", ","):
                self._assigned(said)
                said = []
            else:
                said.append(word)
        self._assigned(said)

    def _output(self, name: str) -> Iterator[Pattern]:
        said: list[str] = []
        while (word := self._next()) != "}":
            if word == "(":
                before = said.pop() if said else ""
                if before == "KEEP":
                    # KEEP(file(sections)): what is in it is read as it stands
                    continue
                if before in FUNCTIONS or "=" in said:
                    self._skip(word)
                    continue
                yield from self._description(name, before)
                said = []
            elif word in (";", ")", ","):
                self._assigned(said)
                said = []
            elif word == "{":
                self._skip(word)
            else:
                said.append(word)
        self._assigned(said)

    def _description(self, output: str, file: str) -> Iterator[Pattern]:
        """The patterns of `file(PATTERN…)`, of which the opening parenthesis is read."""
        applies = fnmatchcase(FILE, file.replace("[^", "[!")) if file else False
        depth, skip = 1, False
        while depth:
            word = self._next()
            if word == ")":
                depth -= 1
            elif word == "(":
                depth += 1
            elif word == "EXCLUDE_FILE" and self._peek() == "(":
                self._next()
                while (excluded := self._next()) != ")":
                    skip = skip or fnmatchcase(FILE, excluded)
            elif SORTED.fullmatch(word) and self._peek() == "(":
                continue
            elif word not in (",", ":", "=", ";"):
                if applies and not skip:
                    yield Pattern(BOUNDS[self._open[-1]][1] if self._open else output, word.strip('"'))
                skip = False

    def _assigned(self, said: Sequence[str]) -> None:
        for number, word in enumerate(said):
            if word == "=" and number:
                symbol = said[number - 1]
                if symbol in BOUNDS:
                    self._open.append(symbol)
                self._open = [start for start in self._open if BOUNDS[start][0] != symbol]

    def _skip(self, opening: str) -> None:
        """Go on to what closes a bracket that was read."""
        closing = ")" if opening == "(" else "}"
        depth = 1
        while depth:
            word = self._next()
            depth += (word == opening) - (word == closing)

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _next(self) -> str:
        if self._at >= len(self._words):
            raise BadInput("a linker script that ends within its brackets", where=self._told)
        self._at += 1
        return self._words[self._at - 1]


# as much as those of Linux 7.3.4 say of code: arch/powerpc/kernel/vmlinux.lds.S, include/asm-generic/vmlinux.lds.h
FIXED = parse(
    """SECTIONS {
    .init.text : { _sinittext = .; *(.init.text .init.text.* .text.startup .text.startup.*) _einittext = .; }
    .exit.text : { __exittext_begin = .; *(.exit.text .text.exit .text.exit.*) __exittext_end = .; }
    _stext = .;
    .head.text : {
        *(.head.text .head.text.first_256B .head.text.real_vectors .head.text.real_trampolines)
        *(.head.text.virt_vectors .head.text.virt_trampolines)
    }
    .text : {
        *(.text .text.[_0-9A-Za-z]* .fixup __ftr_alt_* .ref.text .tramp.ftrace.text)
        *(.noinstr.text .cpuidle.text .sched.text .spinlock.text .kprobes.text .irqentry.text .softirqentry.text .sfpr)
    }
    _etext = .;
    }""",
    told="the scripts of Linux 7.3.4",
)
