"""Patterns that read what trees, builds and archives say: each is linear in the length of what it reads. One that is
quadratic takes hours for these texts."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from oolong.audit import guest_report, linker_script
from oolong.errors import BadInput
from oolong.host import budget
from oolong.host.budget import Counted
from oolong.kbuild import config_why, kconfig_entry, log, rules
from oolong.kbuild.config import Drift
from oolong.machine import ktap
from oolong.stages import offsets, sandboxed

LONG = 1 << 20


def script(text: str) -> None:
    with pytest.raises(BadInput):
        linker_script.parse(text, told="x")


def listed(line: str) -> None:
    with pytest.raises(BadInput, match="more than"):
        Counted(budget.ARCHIVE, where="x").listed(line)


READ: dict[str, tuple[Callable[[str], object], str]] = {
    "post-link checks": (log.post_link, "\n" * LONG),
    "culprits": (lambda text: log.culprits([text]), "make: *** [" + "a: ] Error 1" * (LONG // 8)),
    "a quotation": (sandboxed.is_of_the_world, " " * LONG + "x: No space left on device"),
    "a linker script's comments": (script, "SECTIONS {" + "/* " * LONG),
    "a Kconfig default": (
        lambda text: kconfig_entry.conditions(text, "A"),
        f"config A\n\tdefault y{' ' * LONG}x\n",
    ),
    "a Kconfig condition": (lambda text: kconfig_entry.conditions(text, "A"), f"config A\n\tdepends on {'$(' * LONG}"),
    "saved commands": (lambda text: rules.saved_command(text, "x"), "savedcmd_x := " * LONG),
    "a rule": (lambda text: rules.needed(text, "x"), "a b " * LONG),
    "a traced target": (lambda text: rules.traced(text, "x"), "a:1" * LONG),
    "an entry of an archive": (listed, "- " + "a/" * LONG + " x"),
    "a size of an archive": (listed, f"- 0/0 {'9' * LONG} x"),
    "a macro": (offsets.macros, "#define FTRACE_A" + " 1u" * LONG),
    "an enabled function": (lambda text: guest_report.TRACED.match(text), "a" * LONG + " " * LONG),
    "a listed function": (lambda text: guest_report.LISTED.fullmatch(text), "0 " + "a [" * LONG),
    "a remark of a test": (lambda text: ktap.parse([text]), "ok 1 x" + "#" * LONG + " #" * LONG),
    "a plan": (lambda text: ktap.parse([text]), "1..1" + " " * LONG + "#" * LONG),
}


@pytest.mark.parametrize("what", READ)
def test_a_text_without_end_is_read_in_time(what: str) -> None:
    read, text = READ[what]
    read(text)


def test_a_condition_of_a_tree_without_end_is_read_in_time(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_text(f"config A\n\tbool\n\tdepends on B && {'$(' * (LONG >> 2)}\n")
    (drift,) = config_why.explain(tmp_path, [Drift(symbol="A", asked="y", came="n")], {})
    assert "B is not set" in drift.why


def test_conditions_are_read_as_before() -> None:
    assert re.findall(config_why.TOKEN, "$(cc-option,-a) && B=y || !C") == [
        "$(cc-option,-a)",
        "&&",
        "B",
        "=",
        "y",
        "||",
        "!",
        "C",
    ]
