"""explain on the whole graph, with kernels of a dozen functions: what is made for it, what it says, how it ends."""

import json

import pytest

from tests.checkout import CELL, Checkout, fake_kernel

NOP = "60000000"


@pytest.mark.parametrize("cell", [CELL, f"be{CELL[2:]}"])
def test_a_function_and_its_stub(checkout: Checkout, cell: str) -> None:
    # a kernel that no other test boots
    kernel = fake_kernel(checkout.folder.parent / "fakelinux", [("text.c", "x + 6", "x + 666")])
    done = checkout.doit("explain", "-c", cell, "-f", "two", f"kernel={kernel}", "format=json")
    assert done.code == 0, done.err
    (told,) = json.loads(done.out)
    assert (told["cell"], told["missing"]) == (
        cell,
        ["offsets", "boot", "audit-image", "live"],
    )
    (function,) = told["functions"]
    (site,) = function["sites"]
    assert (site["offset"], site["in_file"]["site"]["word"]) == (function["local_entry"], NOP)
    assert (site["stub"]["area"], site["stub"]["index"], site["live"]) == ("ftrace_ool_stub_text", 1, [])
    assert {line["word"] for line in site["in_file"]["stub"]} == {"00000000"}
    text = checkout.doit("explain", f"cell={cell}", "function=two", f"kernel={kernel}")
    assert "stub 1 of ftrace_ool_stub_text" in text.out
    assert f"./doit cell:{cell} kernel={kernel} makes them" in text.out


def test_all_functions_as_one_array(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    done = checkout.doit("explain", "-c", CELL, f"kernel={kernel}", "format=json")
    assert done.code == 0, done.err
    listed = {entry["name"]: entry for entry in json.loads(done.out)}
    assert {"one", "two", "first"} <= set(listed)
    assert (listed["one"]["area"], listed["one"]["index"]) == ("ftrace_ool_stub_text", 0)
    assert listed["first"]["area"] == "ftrace_ool_stub_inittext"
    assert {entry["cell"] for entry in listed.values()} == {CELL}


def test_a_function_of_init_text_and_one_that_is_not_there(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    done = checkout.doit("explain", "-c", CELL, "-f", "first", f"kernel={kernel}")
    assert "stub 0 of ftrace_ool_stub_inittext" in done.out
    assert "init text: the kernel frees it" in done.out
    missing = checkout.doit("explain", "-c", CELL, "-f", "onne", f"kernel={kernel}")
    assert (missing.code, "did you mean 'one'?" in missing.err) == (2, True)


def test_without_a_function_it_says_both_ways_and_builds_nothing(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    done = checkout.doit("explain", "-c", CELL, f"kernel={kernel}")
    assert (done.code, done.out) == (2, "")
    assert "explain needs a function" in done.err
    assert "-f FUNCTION; with format=json alone, all functions" in done.err
    assert not (checkout.folder / "build" / "stamps" / "link").exists()


def test_a_function_without_a_patch_site_is_told(checkout: Checkout) -> None:
    source = ("text.c", "int one(", "__attribute__((patchable_function_entry(0))) int one(")
    kernel = fake_kernel(checkout.folder.parent / "fakelinux", [source])
    done = checkout.doit("explain", "-c", CELL, "-f", "one", f"kernel={kernel}")
    assert (done.code, "no patch site: it cannot be traced" in done.out) == (0, True), done.err
