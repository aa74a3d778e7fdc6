import pytest

from oolong.errors import BadInput
from tasks.cli.commandline import parse
from tasks.cli.doit_main import check_globs


def test_variables_and_words_are_told_apart() -> None:
    request = parse(["matrix", "set=full", "boot:le-*", "--continue"])
    assert request.variables == {"set": "full"}
    assert request.words == ("matrix", "boot:le-*", "--continue")


def test_short_forms() -> None:
    assert parse(["verify", "-c", "le-minimal-gcc-14"]).variables == {"cell": "le-minimal-gcc-14"}


def test_an_option_with_an_equals_sign_is_doits_own() -> None:
    assert parse(["--verbosity=0"]).words == ("--verbosity=0",)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["kernal=/x"], "no task takes the variable kernal=\n  did you mean 'kernel'?"),
        (["set=a", "set=b"], "set= is given twice"),
        (["-c"], "-c needs a value\n  -c is short for cell="),
        (["again=yes"], "again=yes: it is 0 or 1"),
        (["tier=long"], "tier=long: the only tier besides the usual tests is full\n  ./doit test tier=full"),
        (["jobs=0"], "jobs=0: it is a number from 1 to 1024"),
        ([f"jobs={'9' * 5000}"], f"jobs={'9' * 5000}: it is a number from 1 to 1024"),
        (["jobs=two"], "jobs=two: it is a number from 1 to 1024"),
        (["format=xml"], "format=xml: it is json or table"),
    ],
)
def test_what_is_typed_wrong_is_told(argv: list[str], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(argv)
    assert str(caught.value) == message


def test_a_glob_must_match_a_task() -> None:
    check_globs(["boot:le-*", "compile"], ["boot:le-minimal", "compile"])
    check_globs(None, [])
    with pytest.raises(BadInput, match=r"no task matches 'boot:xe-\*'"):
        check_globs(["boot:xe-*"], ["boot:le-minimal"])
