"""The areas of stubs in a linked kernel, and how many stubs its count words say that each holds."""

from dataclasses import asdict, dataclass
from pathlib import Path

from oolong.binary import elf
from oolong.errors import BadInput

RESERVED, TEXT_END, INITTEXT = "ftrace_ool_stub_text", "ftrace_ool_stub_text_end", "ftrace_ool_stub_inittext"


@dataclass(frozen=True, slots=True, kw_only=True)
class StubAreas:
    """The count words of a linked kernel: stubs within .text, after it, and in init text."""

    text: int
    text_end: int
    inittext: int

    def as_json(self) -> dict[str, int]:
        return asdict(self)


def read_areas(vmlinux: Path) -> StubAreas:
    """The count words of a linked kernel; BadInput if it has none."""
    names = {"text": RESERVED, "text_end": TEXT_END, "inittext": INITTEXT}
    with elf.opened(vmlinux) as file:
        symbols = file.symbols_by_name(f"{name}_count" for name in names.values())
        for name in names.values():
            if f"{name}_count" not in symbols:
                raise BadInput(f"has no symbol {name}_count", where=str(vmlinux), hint="is out-of-line ftrace on?")
        return StubAreas(**{field: file.word(symbols[f"{name}_count"]) for field, name in names.items()})
