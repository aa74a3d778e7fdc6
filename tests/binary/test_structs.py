import json
from pathlib import Path

import pytest

from oolong.binary import structs
from oolong.binary.structs import Field, Offsets, Struct
from oolong.errors import BadInput, BadOutput
from oolong.stages.offsets import macros

KERNEL = Offsets(
    structs={
        "dyn_ftrace": Struct(size=24, members={"ip": Field(0, 8), "arch.ool_stub": Field(16, 8)}),
        "dyn_arch_ftrace": Struct(size=0, members={}),
    },
    enums={"FTRACE_FL_ENABLED": 1 << 31},
    constants={"FTRACE_MCOUNT_MAX_OFFSET": 16},
)


def test_offsets_survive_json(tmp_path: Path) -> None:
    kept = tmp_path / "offsets.json"
    kept.write_text(json.dumps(KERNEL.as_json()))
    read = structs.load(kept)
    assert read == KERNEL
    assert (read.size("dyn_ftrace"), read.offset("dyn_ftrace", "arch.ool_stub")) == (24, 16)
    assert read.field("dyn_ftrace", "ip") == (0, 8)
    assert (read.enum("FTRACE_FL_ENABLED"), read.constant("FTRACE_MCOUNT_MAX_OFFSET")) == (1 << 31, 16)


def test_what_a_kernel_does_not_have_is_named() -> None:
    with pytest.raises(BadOutput, match="has no struct ftrace_page"):
        KERNEL.size("ftrace_page")
    with pytest.raises(BadOutput, match="struct dyn_ftrace has no member flags"):
        KERNEL.offset("dyn_ftrace", "flags")
    assert not KERNEL.has("dyn_ftrace", "flags")
    assert KERNEL.has("dyn_ftrace", "ip")
    assert (KERNEL.enum("FTRACE_FL_GONE"), KERNEL.constant("FTRACE_GONE")) == (None, None)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"structs": {"a": {}}, "enums": {}, "constants": {}}', '{"structs": 1}']
)
def test_what_is_no_document_of_offsets_is_refused(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "offsets.json"
    kept.write_text(text)
    with pytest.raises(BadInput, match="no offsets of a kernel"):
        structs.load(kept)


@pytest.mark.parametrize(
    ("size", "offset", "member"),
    [(1 << 63, 0, 8), (-1, 0, 8), (24, 1 << 63, 8), (24, -8, 8), (24, 0, 1 << 63), (int("9" * 400), 0, 8)],
)
def test_a_layout_that_no_kernel_has_is_refused(tmp_path: Path, size: int, offset: int, member: int) -> None:
    kept = tmp_path / "offsets.json"
    own = {"size": size, "members": {"a": {"offset": offset, "size": member}}}
    kept.write_text(json.dumps({"structs": {"a": own}, "enums": {}, "constants": {}}))
    with pytest.raises(BadInput, match="no offsets of a kernel: a struct of"):
        structs.load(kept)


def test_macros_are_those_of_ftrace_that_are_plain_numbers() -> None:
    listed = (
        "#define FTRACE_MCOUNT_MAX_OFFSET 16\n#define FTRACE_A 0x10UL\n#define FTRACE_B (1 << 2)\n#define FTRACE_C\n"
        "#define FTRACE_D FTRACE_A\n#define OTHER 3\n#define FTRACE_E(x) 1\n#define FTRACE_F 010\n"
    )
    far = f"#define FTRACE_G {'9' * 5000}\n#define FTRACE_H 0x{'f' * 5000}\n"
    assert macros(listed + far) == {"FTRACE_MCOUNT_MAX_OFFSET": 16, "FTRACE_A": 16}
