"""What a .S assembles to is compared whole: objects of real assemblers, and what one byte in each place is told as."""

import subprocess
from pathlib import Path

import pytest

from oolong.errors import BadInput
from oolong.stubs import assembled, counting
from oolong.stubs.counting import StubPlan
from tests.checkout import FAKELINUX, root_with
from tests.support import TEST_DATA

COMPILERS = {"le": "powerpc64le-linux-gnu-gcc-14", "be": "powerpc64-linux-gnu-gcc-14"}
PLAN = StubPlan(text=5, inittext=2, exit=0, reserve=2)
TEXT_END, INITTEXT = "ftrace_ool_stub_text_end", "ftrace_ool_stub_inittext"


# what the tree's script makes otherwise, and what is told of it
OTHERS: dict[str, tuple[tuple[str, str], tuple[str, ...]]] = {
    "count": (("_end_count, .long 3", "_end_count, .long 2"), (f"{TEXT_END}: oolong counts 3, the tree's script 2",)),
    "space": (
        (".space 3 *", ".space 2 *"),
        (f"{TEXT_END}: the symbol: 72 bytes", f"{TEXT_END}: room: 80 bytes by oolong, 56 bytes by the tree's script"),
    ),
    "size": (
        (f"SYM_CODE_END({INITTEXT})", f".size {INITTEXT}, 47"),
        (f"{INITTEXT}: the symbol: 48 bytes at .tramp.ftrace.init+0x8, type 0",),
    ),
    "alignment": (
        (f"SYM_START({INITTEXT}, SYM_L_GLOBAL, .balign SZL)", f"SYM_START({INITTEXT}, SYM_L_GLOBAL, .balign 4)"),
        (
            f"{INITTEXT}: the symbol",
            f"{INITTEXT}: alignment: 8 bytes by oolong, 4 bytes",
            f"{INITTEXT}: room: 56 bytes",
        ),
    ),
    "contents": (
        (".space 3 * FTRACE_OOL_STUB_SIZE", ".space 3 * FTRACE_OOL_STUB_SIZE - 1\n.byte 1"),
        (f"{TEXT_END}: contents: zero by oolong, not zero at +0x4f",),
    ),
    "relocation": (
        (".space 3 * FTRACE_OOL_STUB_SIZE", ".space 3 * FTRACE_OOL_STUB_SIZE - 8\n.quad elsewhere"),
        (f"{TEXT_END}: relocations: none by oolong, type 38 at +0x48, to elsewhere+0x0 by the tree's script",),
    ),
    "section": (
        ('.tramp.ftrace.init, "aw"', '.tramp.ftrace.ini, "aw"'),
        (
            f"{INITTEXT}: the count word: 4 bytes at .tramp.ftrace.init+0x0",
            f"{INITTEXT}: the symbol: 48 bytes at .tramp.ftrace.init+0x8",
            f"{INITTEXT}: the section: .tramp.ftrace.init, type 1, flags 0x3 by oolong, .tramp.ftrace.ini, type 1",
        ),
    ),
    "flags": (
        ('.tramp.ftrace.init, "aw"', '.tramp.ftrace.init, "a"'),
        (f"{INITTEXT}: the section: .tramp.ftrace.init, type 1, flags 0x3 by oolong, .tramp.ftrace.init",),
    ),
    "local": (
        (f"SYM_START({INITTEXT}, SYM_L_GLOBAL, .balign SZL)", f".balign SZL\n{INITTEXT}:"),
        (f"{INITTEXT}: the symbol: 48 bytes at .tramp.ftrace.init+0x8, type 0, binding 1, other 0 by oolong, 48",),
    ),
    "more-symbols": (
        (".space 2 *", "more:\n.space 2 *"),
        ("more: the symbol: none by oolong, 0 bytes at .tramp.ftrace.init+0x8, type 0, binding 0, other 0 by",),
    ),
    "more-sections": (
        ("#include <linux/linkage.h>", '#include <linux/linkage.h>\n.section .init.data, "aw"\n.long 0'),
        (
            ".init.data: the section: none by oolong",
            ".init.data: alignment: none by oolong",
            ".init.data: room: none by oolong, 4 bytes by the tree's script",
            ".init.data: contents: none by oolong, zero by the tree's script",
        ),
    ),
    "no-symbol": (
        (
            f"SYM_START({INITTEXT}, SYM_L_GLOBAL, .balign SZL)",
            ".balign SZL\n#undef SYM_CODE_END\n#define SYM_CODE_END(x)",
        ),
        (f"{INITTEXT}: the symbol: 48 bytes at .tramp.ftrace.init+0x8, type 0, binding 1, other 0 by oolong, none by",),
    ),
}


@pytest.fixture(scope="module", params=COMPILERS)
def facts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, assembled.Facts]:
    """What oolong's source and all others assemble to, with the headers of fakelinux, by a cross gcc of the cache."""
    folder, text = tmp_path_factory.mktemp("assembled"), counting.render(PLAN, counting.TEMPLATE.read_text())
    (folder / "ours.S").write_text(text)
    (folder / "same.S").write_text(text.replace(".space 3 * FTRACE_OOL_STUB_SIZE", ".fill 9, 8\n/* the same */"))
    for name, ((before, after), _) in OTHERS.items():
        assert before in text
        (folder / f"{name}.S").write_text(text.replace(before, after))
    program = COMPILERS[request.param]
    argv = [
        "bwrap", "--unshare-all", "--ro-bind", str(root_with(f"bin/{program}")), "/usr", "--symlink", "usr/lib", "/lib",
        "--symlink", "usr/lib64", "/lib64", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", str(FAKELINUX), "/src",
        "--bind", str(folder), "/out", "--chdir", "/out", "--setenv", "PATH", "/usr/bin", "--",
        program, "-mabi=elfv2", "-D__ASSEMBLY__", "-I/src/arch/powerpc/include", "-I/src/include",
        "-c", *(path.name for path in folder.glob("*.S")),
    ]  # fmt: skip
    subprocess.run(argv, check=True)
    return {path.stem: assembled.read(path) for path in folder.glob("*.o")}


@pytest.mark.parametrize("other", OTHERS)
def test_another_object_is_told_in_each_way_that_it_differs(facts: dict[str, assembled.Facts], other: str) -> None:
    lines = assembled.differences(facts["ours"], facts[other])
    for line in OTHERS[other][1]:
        assert any(one.startswith(line) for one in lines), lines


def test_other_words_for_the_same_are_the_same(facts: dict[str, assembled.Facts]) -> None:
    assert assembled.differences(facts["ours"], facts["same"]) == ()


def test_what_is_no_object_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "stubs.o"
    file.write_bytes(b"none")
    with pytest.raises(BadInput, match="not an ELF file"):
        assembled.read(file)
    with pytest.raises(BadInput, match="no object"):
        assembled.read(TEST_DATA / "audit" / "image-healthy-le")
    monkeypatch.setattr(assembled, "LARGEST", 3)
    with pytest.raises(BadInput, match="more than"):
        assembled.read(file)
