"""The checks of a tree's own build of the stubs: what its Kbuild reviewers asked for, by what was seen of it (pure).

Each is a point of the review of the first Makefile (linux-kernel, "powerpc64/ftrace: Move ftrace sequence out of line",
v5 12/17) or a promise of the series. The stage `tree` makes what is judged here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from oolong.audit.check import Answer, Finding, finding, none_of, skipped
from oolong.audit.registry import DUE, Checks, Due, Needs
from oolong.errors import Kind
from oolong.host.sandbox import SILENT
from oolong.kbuild import kconfig_entry
from oolong.spec.model import OUT_OF_LINE
from oolong.stubs.areas import INITTEXT, TEXT_END

# the folder of the rule that makes the stubs, and the makefile whose rules are for every object
TOOLS, GENERIC = "arch/powerpc/tools/", "scripts/Makefile.build"
# the areas that the script reserves: a kernel may need no stub in either
EMPTY = (TEXT_END, INITTEXT)
# the exit code of grep where it finds nothing, and the rule of oolong.audit.rules that speaks of it
NO_LINE, NO_LINE_COUNTED = 1, "no-line-counted"
SPACE_OF_NOTHING = re.compile(r"repeat count is zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How a command ended that was tried alone: its exit code, the .S that it wrote, whether the objdump that make was
    given was called, and the last lines that it said."""

    ended: int
    source: str | None
    called: bool = False
    said: str = ""

    @property
    def told(self) -> str:
        """How it ended, in a few words."""
        if self.ended:
            return f"ended with {self.ended}: {self.said or SILENT}"
        return "ended well and wrote nothing" if self.source is None else "wrote another .S"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of a build of the stubs; names of files are below the object tree.

    `kconfig` is arch/powerpc/Kconfig, `generated` the .S that the link made with the text `source`, `places` the
    makefiles whose recipes made its object, `command` what the build saved as the command of the .S (empty: none).
    `called`: whether that link called the objdump that make was given. `repeated` are the files that a second make
    made again, `kept` those that a make after an edit of the script left as they were, `left` those that were there
    after `make clean`. `alone` is the saved command without the variables of make, `lying` beside a configuration that
    says 32 bits, `emptied` without the value of CONFIG_64BIT (None: it has none). `empty` is, by area, the script on an
    object that needs no stub there, with what the assembler said of its .S. `without_modules` are the lines of a build
    without modules that failed (None: not tried, since the kernel itself has none). `wide` and `narrow` are the files
    of TOOLS that the link of a 64-bit and of a 32-bit kernel need, `narrow_config` the configuration of the latter.
    """

    kconfig: str
    generated: str
    source: str
    places: Sequence[str]
    command: str
    called: bool
    repeated: Sequence[str]
    kept: Sequence[str]
    left: Sequence[str]
    alone: Tried
    lying: Tried
    emptied: Tried | None
    empty: Mapping[str, Tried]
    without_modules: Sequence[str] | None
    wide: Sequence[str]
    narrow: Sequence[str]
    narrow_config: Mapping[str, str] = field(default_factory=dict)


# arch/powerpc/Kconfig gives the function tracer to 32-bit kernels of gcc alone
TRACED_IN_32_BITS = Due(symbols={"CC_IS_CLANG": "n"})
TREE = Checks[Seen](needs=Needs.TREE, kind=Kind.STUB_AUDIT, about_stubs=True)


@TREE.check(
    "tree.dependencies",
    title="no redundant dependency",
    holds=f"nothing stands twice in what `{OUT_OF_LINE}` depends on, and nothing follows from the rest",
    failure="two places say one thing, and one of them will be forgotten",
)
def dependencies(seen: Seen) -> Answer:
    conditions = kconfig_entry.conditions(seen.kconfig, OUT_OF_LINE)
    if not conditions:
        return none_of([finding(OUT_OF_LINE, "arch/powerpc/Kconfig has no such entry")], held="")
    wrong = [finding(name, why) for name, why in kconfig_entry.redundant(seen.kconfig, OUT_OF_LINE)]
    return none_of(wrong, held=" and ".join(dict.fromkeys(chain.from_iterable(conditions))))


@TREE.check(
    "tree.visible",
    title="no hidden source",
    holds="the generated .S has no dot before its name",
    failure="nobody sees that it is there, and no pattern of Kbuild's finds it",
)
def visible(seen: Seen) -> Answer:
    hidden = [seen.generated] if seen.generated.rpartition("/")[2].startswith(".") else []
    return none_of((finding(name, "is hidden") for name in hidden), held=f"{seen.generated} was made")


@TREE.check(
    "tree.generic-rule",
    title="no rule of its own for the object",
    holds="the recipe that makes the .o of the .S is the one of scripts/Makefile.build",
    failure="flags and dependencies of all other objects pass it by",
)
def generic_rule(seen: Seen) -> Answer:
    own = [place for place in seen.places if place.startswith("arch/")]
    wrong = [finding(place, "has a rule of its own for the object") for place in own]
    if not wrong and GENERIC not in seen.places:
        wrong = [finding(_object(seen), f"no recipe of {GENERIC} made it")]
    return none_of(wrong, held=f"{_object(seen)} was made by {GENERIC}")


@TREE.check(
    "tree.second-make",
    title="a second make does nothing",
    holds="a second `make vmlinux` makes neither the .S, its .o nor vmlinux again",
    failure="the .S is not in `targets`: every make links the kernel again",
)
def second_make(seen: Seen) -> Answer:
    wrong = (finding(name, "made again, though nothing had changed") for name in seen.repeated)
    return none_of(wrong, held="nothing was made again")


@TREE.check(
    "tree.clean",
    title="make clean removes it",
    holds="after `make clean` neither the .S nor its .o is there",
    failure="what an earlier kernel needed lies about",
)
def clean(seen: Seen) -> Answer:
    return none_of((finding(name, "is still there") for name in seen.left), held="neither .S nor .o is there")


@TREE.check(
    "tree.word-size",
    title="the 64-bit flag as an argument",
    holds="the script goes by its argument: a configuration beside it that says 32 bits changes nothing, an empty "
    "argument changes the .S",
    failure="it reads the configuration itself, behind the back of make",
)
def word_size(seen: Seen) -> Answer:
    wrong = _not_saved(seen)
    if not wrong and seen.lying.source != seen.source:
        wrong.append(
            finding("include/config/auto.conf", f"decides: where it says 32 bits, the script {seen.lying.told}")
        )
    if not wrong and seen.emptied is None:
        wrong.append(finding("CONFIG_64BIT", "its value is no argument of the script"))
    elif not wrong and seen.emptied and seen.emptied.source == seen.source:
        wrong.append(finding("CONFIG_64BIT", "without its value the script writes the same .S"))
    return none_of(wrong, held="the .S follows the argument")


@TREE.check(
    "tree.objdump",
    title="$(OBJDUMP) as an argument",
    holds="the script calls the program that `make OBJDUMP=` names, and gets it as an argument: without the variables "
    "of make it calls the same and writes the same",
    failure="it looks with another objdump than the build, or with none",
)
def objdump(seen: Seen) -> Answer:
    wrong = [] if seen.called else [finding("make OBJDUMP=", "the program of that name was not called")]
    wrong += _not_saved(seen)
    if seen.command and seen.alone.source != seen.source:
        wrong.append(finding("the command alone", f"without variables of make it {seen.alone.told}"))
    elif seen.command and not seen.alone.called:
        wrong.append(finding("the command alone", "without variables of make it called another program"))
    return none_of(wrong, held="called by make, and by the command alone")


@TREE.check(
    "tree.script-edit",
    title="an edit of the script links again",
    holds="a make after an edit of the script makes the .S, its .o and vmlinux again",
    failure="the kernel has the stubs that an older script counted",
)
def script_edit(seen: Seen) -> Answer:
    wrong = (finding(name, "not made again after an edit of the script") for name in seen.kept)
    return none_of(wrong, held="the .S, its .o and vmlinux were made again")


@TREE.check(
    "tree.empty-areas",
    title="no space of nothing",
    holds="on an object that needs no stub in an area, the script ends well, and the assembler has no warning of its "
    ".S",
    failure="`.space 0` makes the assembler warn; a script that ends without a word leaves no hint",
)
def empty_areas(seen: Seen) -> Answer:
    wrong = _not_saved(seen) or [
        finding(area, what, rule=NO_LINE_COUNTED if _counts_no_line(area, seen.empty[area]) else "")
        for area in EMPTY
        for what in _of_empty(seen.empty[area])
    ]
    return none_of(wrong, held=f"{' and '.join(EMPTY)} may be empty")


@TREE.check(
    "tree.without-modules",
    title="a kernel without modules",
    holds="with MODULES=n all of arch/powerpc/kernel/trace compiles",
    failure="kernels without modules do not build",
)
def without_modules(seen: Seen) -> Answer:
    if seen.without_modules is None:
        return none_of((), held="the kernel itself has no modules, and was built")
    return none_of((finding(line, "") for line in seen.without_modules), held="arch/powerpc/kernel/trace was compiled")


@TREE.check(
    "tree.thirty-two-bit",
    title="32-bit kernels as they were",
    holds=f"a 32-bit configuration with the function tracer has no `{OUT_OF_LINE}`, and its link needs no file of "
    "arch/powerpc/tools",
    failure="32-bit kernels get stubs that nobody tried there",
    due=DUE[Needs.TREE] & TRACED_IN_32_BITS,
)
def thirty_two_bit(seen: Seen) -> Answer:
    config = seen.narrow_config
    if config.get("PPC32") != "y":
        return skipped("allnoconfig makes no 32-bit kernel of this tree")
    wrong = [finding(name, "the link of a 32-bit kernel needs it") for name in seen.narrow]
    if config.get(OUT_OF_LINE) == "y":
        wrong.append(finding(OUT_OF_LINE, "is on in a 32-bit configuration"))
    if not seen.wide:
        wrong.append(finding(_object(seen), "is no prerequisite of the link of this kernel either"))
    if not wrong and config.get("FUNCTION_TRACER") != "y":
        return skipped("allnoconfig makes no 32-bit kernel of this tree with the function tracer, though asked to")
    held = f"{', '.join(seen.wide)} for this kernel alone, nothing for one of 32 bits with the function tracer"
    return none_of(wrong, held=held)


def _object(seen: Seen) -> str:
    return f"{seen.generated.removesuffix('.S')}.o"


def _not_saved(seen: Seen) -> list[Finding]:
    return [] if seen.command else [finding(seen.generated, "the build saved no command of it (if_changed)")]


def _counts_no_line(area: str, tried: Tried) -> bool:
    """Whether the script ended as grep -c of no line does."""
    return area == INITTEXT and tried.ended == NO_LINE and not tried.said


def _of_empty(tried: Tried) -> Iterator[str]:
    """What is wrong where an area is empty."""
    if tried.ended or tried.source is None:
        yield f"where it needs no stub, the script {tried.told}"
    elif tried.said:
        zero = SPACE_OF_NOTHING.search(tried.said)
        yield "where it needs no stub, .space 0 is reserved" if zero else f"the assembler says: {tried.said}"
