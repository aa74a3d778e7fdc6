"""The rules of the house, read off the imports and calls of all modules, and shown to bite on small bad ones."""

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import CHECKOUT

# from the lowest floor up: a room imports only rooms of floors below its own
FLOORS = (
    ("printable",),
    ("errors",),
    ("host",),
    ("binary",),
    ("spec",),
    ("stubs",),
    ("engine",),
    ("kbuild",),
    ("supply",),
    ("machine",),
    ("doctor", "ci"),
    ("audit",),
    ("verdict",),
    ("stages",),
    ("report",),
    ("run",),
    ("explain",),
    ("museum",),
    ("bisect",),
    ("benchmarks",),
    ("tasks",),
    ("dodo",),
)
# rooms that are no part of the package oolong
TOPS = ("benchmarks", "tasks", "dodo")
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# library -> where it may be imported; a folder stands for all in it
ONLY_IN = {
    "doit": ("tasks/", "dodo.py"),
    "elftools": ("oolong/binary/",),
    "capstone": ("oolong/binary/",),
    "subprocess": ("oolong/host/process.py", "benchmarks/"),
}
# what prints or ends the process is a program's, not a library's
PROGRAM = "__main__.py"
ENDS = frozenset(("print", "exit", "quit", "sys.exit", "os._exit", "os.abort", "SystemExit"))
NO_ROOMS = frozenset(("data", "e2e", "fakelinux", "mutants"))


def room_of(module: str) -> str:
    """`oolong.host.files` → host; "" for what is in no room: the package itself, a library."""
    top, *below = module.split(".")
    if top == "oolong":
        return below[0] if below else ""
    return top if top in TOPS else ""


def imported(path: str, text: str) -> Iterator[str]:
    """The modules that a module imports, by full names; of `from a import b` both a and a.b."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(text, filename=path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*around, *([node.module] if node.module else [])])
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def upward(sources: Mapping[str, str]) -> list[str]:
    """Imports that do not lead down, and rooms without a floor; `sources` are texts by path below the checkout."""
    wrong = set()
    for path, text in sources.items():
        module = path.removesuffix(".py").replace("/", ".")
        own = room_of(module.removesuffix(".__init__"))
        if own and own not in FLOOR:
            wrong.add(f"{path}: the room {own} has no floor")
            continue
        for name in imported(path, text):
            other = room_of(name)
            # a name of the package oolong itself is no room
            if other in FLOOR and other != own and (not own or FLOOR[other] >= FLOOR[own]):
                wrong.add(f"{path}: {own or 'oolong'} imports {other}")
    return sorted(wrong)


def strays(sources: Mapping[str, str]) -> list[str]:
    """Libraries that are imported outside of their rooms."""
    wrong = set()
    for path, text in sources.items():
        for top in {name.split(".")[0] for name in imported(path, text)} & ONLY_IN.keys():
            if not path.startswith(ONLY_IN[top]):
                wrong.add(f"{path}: {top} belongs into {' and '.join(ONLY_IN[top])}")
    return sorted(wrong)


def endings(sources: Mapping[str, str]) -> list[str]:
    """Where a library prints or ends the process."""
    wrong = []
    for path, text in sources.items():
        if path.startswith("oolong/") and not path.endswith(f"/{PROGRAM}"):
            for node in ast.walk(ast.parse(text, filename=path)):
                # a field may have such a name: it is stored, not used
                used = isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load)
                if used and (name := ast.unparse(node)) in ENDS:
                    wrong.append(f"{path}: {name}")
    return wrong


def unmirrored(rooms: Collection[str], folders: Mapping[str, Collection[str]]) -> list[str]:
    """Folders of tests/ (with the names of their files) that are no rooms, and rooms without a folder of tests."""
    no_rooms = [f"tests/{name} is no room" for name in folders if name not in rooms and name not in NO_ROOMS]
    tested = {name for name, files in folders.items() if any(file.startswith("test_") for file in files)}
    return sorted(no_rooms + [f"{name} has no tests/{name}/test_*.py" for name in rooms if name not in tested])


@pytest.fixture(scope="module")
def sources() -> Mapping[str, str]:
    """All modules but the tests."""
    paths = [CHECKOUT / "dodo.py"]
    for folder in ("oolong", "tasks", "benchmarks"):
        paths += (CHECKOUT / folder).rglob("*.py")
    return {path.relative_to(CHECKOUT).as_posix(): path.read_text() for path in sorted(paths)}


def test_a_room_imports_only_rooms_below_it(sources: Mapping[str, str]) -> None:
    assert upward(sources) == []


def test_libraries_stay_in_their_rooms(sources: Mapping[str, str]) -> None:
    assert strays(sources) == []


def test_only_programs_print_and_exit(sources: Mapping[str, str]) -> None:
    assert endings(sources) == []


def test_the_tests_mirror_the_rooms() -> None:
    def folders(place: Path) -> list[Path]:
        return sorted(path for path in place.iterdir() if path.is_dir() and path.name != "__pycache__")

    rooms = {path.name for path in folders(CHECKOUT / "oolong")} | {"tasks"}
    tests = {path.name: [file.name for file in path.iterdir()] for path in folders(CHECKOUT / "tests")}
    assert unmirrored(rooms, tests) == []


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("oolong/host/files.py", "from oolong.spec import lock", ["host imports spec"]),
        ("oolong/host/files.py", "import oolong.errors, oolong.stages.boot", ["host imports stages"]),
        ("oolong/host/files.py", "def f():\n    from oolong import engine", ["host imports engine"]),
        ("oolong/host/files.py", "from ..binary.elf import opened", ["host imports binary"]),
        ("oolong/host/files.py", "from .. import binary", ["host imports binary"]),
        ("oolong/host/__init__.py", "from ..errors import BadInput\nfrom . import files", []),
        ("oolong/doctor.py", "import oolong.ci", ["doctor imports ci"]),
        ("oolong/bisect/search.py", "import tasks.session", ["bisect imports tasks"]),
        ("oolong/audit/image.py", "from bisect import bisect_left\nimport oolong.host.files", []),
        ("oolong/__init__.py", "import oolong.errors", ["oolong imports errors"]),
        ("oolong/attic/old.py", "", ["the room attic has no floor"]),
        ("tasks/test.py", "from dodo import task_test", ["tasks imports dodo"]),
        ("dodo.py", "from tasks.test import task_test", []),
    ],
)
def test_an_import_that_does_not_lead_down_is_told(path: str, text: str, said: list[str]) -> None:
    assert upward({path: text}) == [f"{path}: {one}" for one in said]


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("oolong/run/here.py", "from doit.tools import config_changed", True),
        ("tasks/cli/help.py", "from doit.cmd_run import Run", False),
        ("dodo.py", "import doit", False),
        ("oolong/audit/image.py", "from elftools.elf.elffile import ELFFile", True),
        ("oolong/explain/text.py", "def f():\n    import capstone", True),
        ("oolong/binary/elf.py", "import elftools, capstone", False),
        ("oolong/host/sandbox.py", "import subprocess as sp", True),
        ("tasks/test.py", "from subprocess import run", True),
        ("oolong/host/process.py", "import subprocess", False),
    ],
)
def test_a_library_outside_its_room_is_told(path: str, text: str, wrong: bool) -> None:
    assert bool(strays({path: text})) == wrong


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("oolong/spec/lock.py", "print(1)", True),
        ("oolong/spec/lock.py", "say = print", True),
        ("oolong/spec/lock.py", "import sys\nif 1:\n    sys.exit(2)", True),
        ("oolong/spec/lock.py", "def f():\n    exit()", True),
        ("oolong/spec/lock.py", "raise SystemExit", True),
        ("oolong/spec/lock.py", "import os\nos._exit(0)", True),
        ("oolong/spec/lock.py", "'print(1)'\nx.print()\nclass A:\n    exit: int", False),
        ("oolong/stubs/__main__.py", "print(1)\nimport os\nos._exit(0)", False),
        ("tasks/cli/view.py", "print(1)", False),
    ],
)
def test_a_library_that_prints_or_exits_is_told(path: str, text: str, wrong: bool) -> None:
    assert bool(endings({path: text})) == wrong


def test_a_folder_of_tests_that_is_no_room_is_told() -> None:
    found = {
        "host": ["__init__.py", "test_files.py"],
        "data": ["a.o"],
        "attic": ["test_old.py"],
        "spec": ["__init__.py"],
    }
    assert unmirrored({"host", "spec", "stubs"}, found) == [
        "spec has no tests/spec/test_*.py",
        "stubs has no tests/stubs/test_*.py",
        "tests/attic is no room",
    ]
