import os
from pathlib import Path

import pytest

from oolong.errors import BadInput, BadOutput
from oolong.host.files import LARGEST_TEXT, text_of
from oolong.kbuild import config as kconfig
from oolong.kbuild.config import Drift
from oolong.kbuild.config_why import explain


def test_a_config_is_symbols_and_values() -> None:
    text = (
        '# a comment\nCONFIG_A=y\n\nCONFIG_NAME="two words"\n# CONFIG_OFF is not set\nCONFIG_HEX=0xC0\n  CONFIG_A=m\n'
    )
    assert kconfig.parse(text, where="x") == {"A": "m", "NAME": '"two words"', "OFF": "n", "HEX": "0xC0"}


@pytest.mark.parametrize("line", ["A=y", "CONFIG_A", "CONFIG_A = y", "select FOO"])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(BadInput, match=r"^my\.config:2: .*no line of a kernel configuration"):
        kconfig.parse(f"CONFIG_B=y\n{line}\n", where="my.config")


# what Python takes for the end of a line and the kernel does not
@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\r", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_string_fakes_no_line(tmp_path: Path, end: str) -> None:
    text = f'CONFIG_DYNAMIC_FTRACE=y\nCONFIG_LOCALVERSION="a{end}CONFIG_DYNAMIC_FTRACE=n{end}#"\n'
    (tmp_path / ".config").write_bytes(text.encode())
    told = {"DYNAMIC_FTRACE": "y", "LOCALVERSION": f'"a{end}CONFIG_DYNAMIC_FTRACE=n{end}#"'}
    assert kconfig.read(tmp_path / ".config") == told
    assert kconfig.parse(text_of(tmp_path, ".config"), where="x") == told
    changed = kconfig.apply(text, {"OTHER": "y"})
    assert kconfig.parse(changed, where="x") == {**told, "OTHER": "y"}
    assert changed.startswith(text)


def test_a_return_before_the_end_of_a_line_is_no_part_of_a_value() -> None:
    """As scripts/kconfig/confdata.c reads it."""
    assert kconfig.parse("CONFIG_A=y\r\n# CONFIG_B is not set\r\n", where="x") == {"A": "y", "B": "n"}


def test_a_later_fragment_wins() -> None:
    assert kconfig.merge({"A": "y", "B": "y"}, {"A": "n"}) == {"A": "n", "B": "y"}


def test_rendered_fragments_read_back() -> None:
    values = {"A": "y", "OFF": "n", "S": '"x"', "N": "4"}
    assert kconfig.parse(kconfig.render(values), where="x") == values


def test_a_config_is_changed_in_one_place_only() -> None:
    text = "#\n# General\n#\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=3\n"
    changed = kconfig.apply(text, {"A": "n", "B": "y"})
    assert kconfig.parse(changed, where="x") == {"C": "3", "A": "n", "B": "y"}
    assert changed.count("CONFIG_A") == 1
    assert "# General" in changed


def test_drift_names_what_was_asked_and_what_came() -> None:
    final = {"A": "y", "S": '"pseries"', "H": "0xff"}
    asked = {"A": "y", "B": "m", "C": "n", "S": '"pseries"', "H": "0xFF", "EMPTY": '""'}
    assert kconfig.drift(asked, {"D": "y", "S": "pseries"}, final) == (
        Drift(symbol="B", asked="m", came="n"),
        Drift(symbol="D", asked="y", came="n"),
    )
    assert kconfig.drift({"A": "n"}, {}, final)[0].lines() == ("A: asked for n, came out y",)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "arch" / "powerpc").mkdir(parents=True)
    (tmp_path / "arch" / "mips").mkdir(parents=True)
    (tmp_path / "Kconfig").write_text(
        'menu "Tracing"\n\tdepends on TRACING\n\n'
        'config TRACER\n\tbool "A tracer"\n\tdepends on PRINTK && \\\n\t\tHAVE_IT\n\thelp\n\t  depends on nothing\n\n'
        'config EITHER\n\tbool "x"\n\tdepends on PRINTK || HAVE_IT\nendmenu\n'
        'if EXPERT\nconfig DEEP\n\tbool "deep"\nendif\n'
    )
    (tmp_path / "arch" / "powerpc" / "Kconfig").write_text(
        "config HAVE_IT\n\tdef_bool PPC64 && !SMALL\n\nconfig PROBED\n\tdef_bool $(success,$(CC) -mprobe)\n"
    )
    (tmp_path / "arch" / "mips" / "Kconfig").write_text("config TRACER\n\tdepends on MIPS_ONLY\n")
    return tmp_path


def why(tree: Path, symbol: str, **final: str) -> str:
    (drift,) = explain(tree, [Drift(symbol=symbol, asked="y", came="n")], final)
    return "\n".join(drift.why)


def test_unmet_conditions_are_followed_to_their_cause(tree: Path) -> None:
    lines = why(tree, "TRACER", TRACING="y", PRINTK="y")
    assert "TRACER needs PRINTK && \t\tHAVE_IT".replace("\t", "") in lines.replace("\t", "").replace("  ", " ")
    assert "HAVE_IT needs PPC64 && !SMALL (arch/powerpc/Kconfig:1)" in lines
    assert "PPC64 is not set" in lines
    assert "PRINTK is not set" not in lines
    assert "MIPS_ONLY" not in lines
    assert "nothing" not in lines


def test_conditions_of_menus_and_ifs_count(tree: Path) -> None:
    assert "TRACING is not set" in why(tree, "TRACER", PRINTK="y")
    assert "EXPERT is not set" in why(tree, "DEEP")
    assert why(tree, "DEEP", EXPERT="y") == ""


def test_one_of_two_alternatives_is_enough(tree: Path) -> None:
    assert why(tree, "EITHER", TRACING="y", PRINTK="y") == ""
    assert "HAVE_IT is not set" in why(tree, "EITHER", TRACING="y")


def test_probes_and_unknown_symbols_are_shown(tree: Path) -> None:
    assert "$(success,$(CC) -mprobe)" in why(tree, "PROBED")
    assert why(tree, "NO_SUCH") == "NO_SUCH is in no Kconfig file of this tree"


def test_a_config_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".config").touch()
    os.truncate(tmp_path / ".config", 100 << 30)
    with pytest.raises(BadOutput, match="has more than 67108864 bytes"):
        kconfig.read(tmp_path / ".config")


def test_a_kconfig_file_that_is_larger_than_any_is_not_read(tree: Path) -> None:
    (tree / "Kconfig.holes").write_text("config HIDDEN\n\tdepends on PRINTK\n")
    assert "PRINTK is not set" in why(tree, "HIDDEN")
    os.truncate(tree / "Kconfig.holes", LARGEST_TEXT + 1)
    assert why(tree, "HIDDEN") == "HIDDEN is in no Kconfig file of this tree"
