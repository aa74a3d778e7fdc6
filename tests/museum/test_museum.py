"""Past faults, a folder each: each is brought back, and the check that its folder names names it.

Those of the small kernel are here; those that need a real one are in tests/e2e/test_museum.py.
"""

import json
import shutil
from pathlib import Path

import pytest

from oolong.engine.runner import Runner
from oolong.errors import BadInput
from oolong.museum import exhibit, showing
from oolong.museum.exhibit import Expected
from oolong.museum.showing import Shown
from oolong.run.project import Request, open_project
from tests.checkout import Checkout, copied_to
from tests.museum import table
from tests.museum.support import with_museum, wrong

SMALL = [one.id for one in table.exhibits() if not one.needs_kernel]


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory, tool_cache: Path) -> Checkout:
    """One for all tests: each exhibit has a folder of its own in it."""
    return with_museum(copied_to(tmp_path_factory.mktemp("museum") / "checkout", cache=tool_cache))


@pytest.fixture(scope="module")
def runner(museum: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """One for all exhibits, which verifies the root file system once."""
    store = open_project(Request(), museum.layout).store
    return Runner(store, own=museum.layout.unpublished, say=print)


def shown(folder: Path, museum: Checkout, runner: Runner) -> Shown:
    return showing.show(exhibit.read(folder), Request(), museum.layout, runner)


@pytest.mark.parametrize("name", SMALL)
def test_a_past_fault_is_caught_in_the_small_kernel(museum: Checkout, runner: Runner, name: str) -> None:
    found = shown(museum.layout.museum / name, museum, runner)
    assert (wrong(found), found.caught) == ([], True)


def test_a_kernel_without_the_fault_is_not_taken_for_caught(museum: Checkout, runner: Runner, tmp_path: Path) -> None:
    """The folder of a fault without what brings it back."""
    folder = tmp_path / "healthy"
    folder.mkdir()
    text = (museum.layout.museum / "text-beyond-reserve" / exhibit.FILE).read_text()
    (folder / exhibit.FILE).write_text(text)
    found = shown(folder, museum, runner)
    assert not found.caught
    assert [seen.check for seen in found.seen if not seen.good] == ["image.stub-allocation"]


def test_what_was_not_made_is_not_caught(museum: Checkout, runner: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    shutil.copytree(museum.layout.museum / "startup-in-text", folder)
    text = (folder / exhibit.FILE).read_text()
    (folder / exhibit.FILE).write_text(text.replace("upto: audit-image", "upto: compile"))
    found = shown(folder, museum, runner)
    assert {seen.good for seen in found.seen} == {False}
    assert all(seen.evidence.startswith("it was not made: compiled 7.3.4-fake") for seen in found.seen)


@pytest.mark.parametrize(
    ("victims", "exactly", "found", "same"),
    [
        (("a", "b"), True, ("a", "b"), True),
        (("a", "b"), True, ("a",), False),
        (("a",), True, ("a", "b"), False),
        (("a",), False, ("a", "b"), True),
        (("a", "c"), False, ("a", "b"), False),
        (("section *",), True, ("section 1", "section 2"), True),
        (("a",), True, (), False),
        (("a",), False, (), False),
    ],
)
def test_victims_are_compared_in_both_directions(
    victims: tuple[str, ...], exactly: bool, found: tuple[str, ...], same: bool
) -> None:
    assert Expected(check="object.nops", victims=victims, exactly=exactly).names(found) == same


GOOD = """what: a fault
commit: 0123456789ab
kernels: "7.3"
story: once
tree: small
caught_by: {object.nops: [one]}
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("object.nops", "object.nop", r"bad/exhibit.yaml:6:13: caught_by: unknown check 'object.nop'\n.*object.nops"),
        ("[one]", "[]", "must name a victim"),
        ("[one]", "all", "unknown finding 'all'"),
        ("[one]", "{amongst: [one]}", "unknown key 'amongst'"),
        ("{object.nops: [one]}", "{}", "must name a check"),
        ("small", "large", "unknown tree 'large'"),
        ("story: once\n", "", "missing key 'story'"),
        ("story: once", "stori: once", "unknown key 'stori'"),
        ("story: once", "story: once\npatches: [fualt.patch]", r"no such file 'fualt.patch'\n.*'fault.patch'"),
        ("story: once", "story: once\nendians: [xe]", "unknown endian 'xe'"),
        ("story: once", "story: once\nholds: [object.nop]", "unknown check 'object.nop'"),
        ("tree: small", "tree: pipeline", "replaces files of the small kernel alone"),
    ],
)
def test_an_exhibit_that_is_none_is_told(tmp_path: Path, before: str, after: str, message: str) -> None:
    folder = tmp_path / "bad"
    (folder / "files").mkdir(parents=True)
    (folder / "fault.patch").write_text("")
    assert before in GOOD
    (folder / exhibit.FILE).write_text(GOOD)
    assert exhibit.read(folder).caught_by == (Expected(check="object.nops", victims=("one",), exactly=True),)
    (folder / exhibit.FILE).write_text(GOOD.replace(before, after))
    with pytest.raises(BadInput, match=message):
        exhibit.read(folder)


def test_a_cell_that_the_pipeline_has_not_is_told(museum: Checkout, runner: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    folder.mkdir()
    (folder / exhibit.FILE).write_text(f"{GOOD}toolchain: gcc-99\n")
    with pytest.raises(BadInput, match="no cell of the pipeline has le, minimal, gcc-99"):
        shown(folder, museum, runner)


def test_the_table_in_the_docs_is_that_of_the_folders() -> None:
    text = table.FILE.read_text()
    assert table.rewritten(text) == text


def test_an_unknown_exhibit_is_bad_input(museum: Checkout) -> None:
    done = museum.doit("museum", "id=no-init-txt")
    assert done.code == 2
    assert "no exhibit has the id 'no-init-txt'" in done.err
    assert "did you mean 'no-init-text'?" in done.err


def test_the_command_shows_what_was_caught_and_fails_for_what_was_not(checkout: Checkout) -> None:
    with_museum(checkout)
    good = checkout.doit("museum", "id=no-init-text,unaligned-relocation", "format=json")
    assert good.code == 0, good.err
    documents = json.loads(good.out)
    assert [(one["id"], one["caught"], one["needs_kernel"]) for one in documents] == [
        ("no-init-text", True, False),
        ("unaligned-relocation", True, False),
    ]
    assert documents[1]["checks"] == ["stage.stubs"]
    (seen,) = documents[1]["seen"]
    assert (seen["cell"], seen["status"]) == ("le-minimal-gcc-14-fakelinux", "fail")
    shutil.rmtree(checkout.layout.museum / "unaligned-relocation" / exhibit.FILES)
    bad = checkout.doit("museum", "id=unaligned-relocation")
    assert bad.code == 1, bad.err
    assert "NOT CAUGHT" in bad.out
    assert "le-minimal-gcc-14-fakelinux: stage.stubs: it was not made" in bad.out
