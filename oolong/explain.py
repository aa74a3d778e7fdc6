"""A function of vmlinux.o, explained: where it lies, where its patch site is, and which stubs serve it.

The local entry point comes from st_other (64-bit ELF V2 ABI, 3.4.1), the area from the section (oolong.stubs).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oolong import elf, stubs
from oolong.errors import BadInput
from oolong.nearest import did_you_mean

LOCAL_ENTRY_SHIFT, LOCAL_ENTRY_MASK = 5, 7
NOP = 0x60000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A patch site: `offset` in bytes from the function's symbol, the instruction `word` there before any tracing."""

    offset: int
    word: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of a name; several may have it, since names of files' own functions need not be unique.

    `offset` is that of its symbol in its section, `local_entry` that of its local entry point from its symbol, `size`
    as the symbol says, all in bytes. `area` is the kind of its stub: `text`, `inittext`, or None without a patch site.
    """

    name: str
    section: str
    offset: int
    size: int
    local_entry: int
    sites: tuple[Site, ...]
    area: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def functions(vmlinux_o: Path, name: str) -> tuple[Function, ...]:
    """All functions of a name, in order of their places; BadInput with the nearest name if there is none."""
    with elf.opened(vmlinux_o) as file:
        labels = [label for label in file.labels(name) if label.section is not None]
        code = [label for label in labels if file.sections[label.section or 0].executable]
        if not code:
            hint = did_you_mean(name, file.function_names())
            raise BadInput(f"no function has the name {name!r}", where=str(vmlinux_o.name), hint=hint)
        places = stubs.site_places(file, str(vmlinux_o))
        found = [_function(file, name, label, places) for label in code]
    return tuple(sorted(found, key=lambda one: (one.section, one.offset)))


def described(one: Function) -> str:
    """A function as lines for the screen."""
    lines = [
        f"{one.name}: {one.section}+{one.offset:#x}, {one.size} bytes, local entry point at +{one.local_entry:#x}",
    ]
    for site in one.sites:
        what = "a nop" if site.word == NOP else f"{site.word:08x}, which is no nop"
        lines.append(f"  patch site at +{site.offset:#x}: {what}")
    if one.area is None:
        lines.append("  no patch site: it cannot be traced (notrace, or written in assembly)")
    else:
        lines.append(f"  served by a stub for {'init text' if one.area == 'inittext' else 'text'}")
    return "\n".join(lines) + "\n"


def _function(file: elf.ElfFile, name: str, label: elf.Symbol, places: dict[int, list[int]]) -> Function:
    assert label.section is not None
    section = file.sections[label.section]
    end = label.value + max(label.size, 1)
    own = [place for place in places.get(section.index, ()) if label.value <= place < end]
    return Function(
        name=name,
        section=section.name,
        offset=label.value,
        size=label.size,
        local_entry=(1 << (label.other >> LOCAL_ENTRY_SHIFT & LOCAL_ENTRY_MASK)) >> 2 << 2,
        sites=tuple(Site(offset=place - label.value, word=file.instruction(section, place)) for place in own),
        area=stubs.area_of(section.name) if own else None,
    )
