"""A function explained, in objects of each byte order and on the whole graph."""

import json
from pathlib import Path

import pytest

from oolong import explain
from oolong.errors import BadInput
from tests.checkout import Checkout, fake_kernel

OBJECTS = Path(__file__).parent / "data" / "objects"
CELL = "le-minimal-gcc-14-fakelinux"


@pytest.mark.parametrize("cell", [CELL, f"be{CELL[2:]}"])
def test_a_function_and_its_patch_site(checkout: Checkout, cell: str) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    done = checkout.doit("explain", "-c", cell, "-f", "one", f"kernel={kernel}", "format=json")
    assert done.code == 0, done.err
    ((told,),) = [one["functions"] for one in json.loads(done.out)]
    assert (told["name"], told["section"], told["area"]) == ("one", ".text", "text")
    assert told["sites"] == [{"offset": told["local_entry"], "word": explain.NOP}]
    text = checkout.doit("explain", f"cell={cell}", "function=one", f"kernel={kernel}")
    assert "patch site at +0x0: a nop" in text.out
    assert "served by a stub for text" in text.out


def test_a_function_of_init_text_and_one_that_is_not_there(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    done = checkout.doit("explain", "-c", CELL, "-f", "first", f"kernel={kernel}")
    assert "served by a stub for init text" in done.out
    missing = checkout.doit("explain", "-c", CELL, "-f", "onne", f"kernel={kernel}")
    assert (missing.code, "did you mean 'one'?" in missing.err) == (2, True)
    nothing = checkout.doit("explain", "-c", CELL, f"kernel={kernel}")
    assert (nothing.code, "explain needs a function" in nothing.err) == (2, True)


def test_a_function_without_a_patch_site_is_told(checkout: Checkout) -> None:
    source = ("text.c", "int one(", "__attribute__((patchable_function_entry(0))) int one(")
    kernel = fake_kernel(checkout.folder.parent / "fakelinux", [source])
    done = checkout.doit("explain", "-c", CELL, "-f", "one", f"kernel={kernel}")
    assert (done.code, "no patch site: it cannot be traced" in done.out) == (0, True), done.err


@pytest.mark.parametrize("name", ["le64", "be64", "be32"])
def test_every_object_has_its_functions_explained(name: str) -> None:
    path = OBJECTS / f"{name}.o"
    with pytest.raises(BadInput, match="no function has the name"):
        explain.functions(path, "surely_not_there")
