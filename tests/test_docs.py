"""README and docs name only files, tasks and tests that exist."""

import re
from collections.abc import Iterator

import pytest

from oolong.machine.family import FAMILIES
from tasks.stages import DOCS
from tests.support import CHECKOUT

PAGES = ("README.md", "CHANGELOG.md", *sorted(f"docs/{path.name}" for path in (CHECKOUT / "docs").glob("*.md")))
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)")
PATH = re.compile(r"`((?:oolong|tests|tasks|configs|benchmarks|docs|guest|toolchains)/[^`\s]*)")
# NAME in `configs/NAME.config` stands for any
STANDS_FOR_ANY = re.compile(r"\b[A-Z]{3,}\b")
TEST = re.compile(r"\b(test_\w+)(…?)")
DEFINED = re.compile(r"^def (test_\w+)", re.MULTILINE)
# what is typed after ./doit: up to the end of the code, a comma, or the blanks before an explanation
TYPED = re.compile(r"\./doit ((?:[^\s`,;|]+ ?)+)")
# doit's own, and placeholders
COMMANDS = frozenset(("list", "info", "help", "clean", "run", "TASK"))


def text_of(page: str) -> str:
    return (CHECKOUT / page).read_text()


def tasks() -> frozenset[str]:
    """The names of all tasks: those that dodo.py lists, and the stages."""
    return frozenset(re.findall(r'"task_(\w+)"', text_of("dodo.py"))) - {"stages"} | DOCS.keys()


def typed(text: str) -> Iterator[str]:
    """The names of the tasks that a page types: the first word that is no option or variable, and each NAME:SUBJECT."""
    for match in TYPED.finditer(text):
        words = [word.strip("'\"[].") for word in match[1].split() if "=" not in word]
        yield from (word.partition(":")[0] for word in words if re.fullmatch(r"[a-z-]+:[^/]\S*", word))
        if words and re.fullmatch(r"[a-z]+", words[0]):
            yield words[0]


def names_of_tests() -> set[str]:
    """All tests and their modules."""
    files = list((CHECKOUT / "tests").rglob("test_*.py"))
    return {file.stem for file in files} | {name for file in files for name in DEFINED.findall(file.read_text())}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_to_files(page: str) -> None:
    text = text_of(page)
    links = [link for link in LINK.findall(text) if not ((CHECKOUT / page).parent / link).exists()]
    paths = [path for path in PATH.findall(text) if not list(CHECKOUT.glob(STANDS_FOR_ANY.sub("*", path.rstrip("/"))))]
    assert (links, paths) == ([], [])


@pytest.mark.parametrize("page", PAGES)
def test_tasks_exist(page: str) -> None:
    assert set(typed(text_of(page))) <= tasks() | COMMANDS


@pytest.mark.parametrize("page", PAGES)
def test_tests_exist(page: str) -> None:
    known = names_of_tests()
    named = TEST.findall(text_of(page))
    assert [
        name for name, cut in named if not (any(one.startswith(name) for one in known) if cut else name in known)
    ] == []


def test_the_known_issues_of_the_front_page_are_known_issues() -> None:
    shown = re.findall(r"^ +known: (.*) \[", text_of("README.md"), re.MULTILINE)
    known = re.findall(r"^ +- id: (\S+)$", text_of("known-issues.yaml"), re.MULTILINE)
    assert len(shown) == 1
    assert [name for name in shown[0].split(", ") if name not in known] == []


def test_what_is_typed_is_found() -> None:
    text = "`./doit gone:CELL`, ./doit -n 2 'old:le-*'   a: b\n./doit kernel=~/a:b lost   c\n./doit     two: kernels\n"
    assert list(typed(text)) == ["gone", "old", "lost"]


def test_every_family_of_machines_is_explained() -> None:
    text = text_of("docs/extending.md")
    assert [family for family in FAMILIES if f"`{family.value}`" not in text] == []
