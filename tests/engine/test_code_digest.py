"""The code digest: what counts of a module's text, and which modules and libraries count for a stage."""

import ast
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oolong.engine.code_digest import LEXEME, Code, code_digest, modules_of, stripped
from oolong.errors import Infrastructure
from tests.support import CHECKOUT

MODULES = sorted(CHECKOUT.joinpath("oolong").rglob("*.py"))
SPECIMEN = '''\
"""A module."""  # ä comment


import os  # noqa


class Empty(Exception):
    """A class."""


class Full:
    """One.

    # no comment
    """

    def method(self): "in one line"; return "ü # no comment"  # é

    async def coroutine(self):
        """Nested."""

        def inner():
            ("in "
             "parts")
        return inner

x = 1 + \\
    2

y = """kept

   # kept   \t
"""
z = f"""{x}

  kept # too
"""
w = ("ö"   # between
     r'\\\\'
     "#")   \t
if x:
    "no docstring"
'''
STRIPPED = '''\
import os
class Empty(Exception):
    pass
class Full:
    def method(self): return "ü # no comment"
    async def coroutine(self):
        def inner():
            pass
        return inner
x = 1 + \\
    2
y = """kept

   # kept   \t
"""
z = f"""{x}

  kept # too
"""
w = ("ö"
     r'\\\\'
     "#")
if x:
    "no docstring"
'''
PRINTS_DIGESTS = """
import hashlib, json, sys
sys.path.insert(0, sys.argv[1])
from oolong.engine.code_digest import stripped
texts = json.load(sys.stdin)
print(json.dumps({name: hashlib.sha256(stripped(text).encode()).hexdigest() for name, text in texts.items()}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "oolong"
    for folder in ("inner", "coded", "host"):
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").write_text('"""A package."""\n')
    (root / "__init__.py").touch()
    (root / "a.py").write_text("import json\nfrom oolong.b import thing\nfrom oolong.host.files import write\n")
    (root / "b.py").write_text("def thing():\n    from oolong.inner import c\n    from .coded import e\n")
    (root / "inner" / "c.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import oolong.d\n")
    (root / "d.py").write_text("y = 1\n")
    (root / "coded" / "__init__.py").write_text("from oolong.f import g\n")
    (root / "coded" / "e.py").write_text("match 1:\n    case 1:\n        from .. import h\n")
    (root / "f.py").write_text("def g(): pass\n")
    (root / "h.py").write_text("try:\n    pass\nexcept OSError:\n    from .host import files\n")
    (root / "host" / "files.py").write_text("import oolong.d\ndef write(): pass\n")
    return root


def changed_by(package: Path, file: str, *, edit: str = "edited = 1\n") -> bool:
    before = Code(package).digest("oolong.a")
    with (package / file).open("a") as stream:
        stream.write(edit)
    return Code(package).digest("oolong.a") != before


@pytest.mark.parametrize("file", ["a.py", "b.py", "inner/c.py", "coded/__init__.py", "coded/e.py", "f.py", "h.py"])
def test_an_edit_of_an_imported_module_counts(package: Path, file: str) -> None:
    assert changed_by(package, file)


@pytest.mark.parametrize("file", ["a.py", "b.py", "inner/c.py", "inner/__init__.py"])
def test_an_edit_of_its_prose_does_not(package: Path, file: str) -> None:
    assert not changed_by(package, file, edit="\n\n# edited\n")


def test_an_edit_elsewhere_does_not(package: Path) -> None:
    assert not changed_by(package, "d.py")


def test_a_room_that_decides_nothing_is_not_followed(package: Path) -> None:
    assert not changed_by(package, "host/files.py")
    assert not changed_by(package, "host/__init__.py")


def test_a_package_counts_once_it_holds_code(package: Path) -> None:
    code = Code(package)
    assert code.modules_of("oolong.a") == (
        "oolong.a",
        "oolong.b",
        "oolong.coded",
        "oolong.coded.e",
        "oolong.f",
        "oolong.h",
        "oolong.inner.c",
    )
    assert changed_by(package, "inner/__init__.py")
    assert "oolong.inner" in Code(package).modules_of("oolong.a")


def test_one_code_keeps_to_what_it_has_read(package: Path) -> None:
    code = Code(package)
    before = code.digest("oolong.a")
    (package / "a.py").write_text("")
    assert code.digest("oolong.a") == before
    assert Code(package).digest("oolong.a") != before


def test_a_module_that_is_not_there_is_refused(package: Path) -> None:
    with pytest.raises(ValueError, match=r"has no module oolong\.nothing"):
        Code(package).digest("oolong.nothing")


def test_other_files_count(tmp_path: Path) -> None:
    template = tmp_path / "template.j2"
    template.write_text("1")
    before = code_digest("oolong.stubs.counting", files=(template,))
    template.write_text("1 2")
    assert code_digest("oolong.stubs.counting", files=(template,)) != before
    assert before != code_digest("oolong.stubs.counting")


def test_every_module_of_the_package_is_found() -> None:
    assert len(code_digest("oolong.engine.store")) == 64


def test_the_stages_modules_are_those_that_decide() -> None:
    found = modules_of("oolong.stages.stubs")
    assert {"oolong.stages.stubs", "oolong.stubs.counting", "oolong.binary.elf"} <= set(found)
    assert not [name for name in found if re.match(r"oolong\.(host|engine|spec|errors)\b", name)]


def distribution(folder: Path, name: str, number: str, module: str) -> None:
    """An installed library, as pip leaves it."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").touch()
    info = folder / f"{module}-{number}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    (info / "top_level.txt").write_text(f"{module}\n")


@pytest.mark.parametrize(("number", "equal"), [("1.0", True), ("1.1", False)])
def test_the_versions_of_libraries_count(package: Path, tmp_path: Path, number: str, equal: bool) -> None:
    (package / "d.py").write_text("def f():\n    import lib_of_test.part\n    from os import path\n")
    program = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "from oolong.engine.code_digest import Code\n"
        "print(Code(Path(sys.argv[3])).digest('oolong.d'))\n"
    )
    answers = []
    for folder, one in ((tmp_path / "before", "1.0"), (tmp_path / "after", number)):
        distribution(folder, "Lib.Of-Test", one, "lib_of_test")
        argv = [sys.executable, "-B", "-I", "-c", program, str(CHECKOUT), str(folder), str(package)]
        answers.append(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert (answers[0] == answers[1]) == equal


def test_the_current_folder_is_looked_through_where_python_does(package: Path, tmp_path: Path) -> None:
    """`python -c` and `python -` have '' on the path."""
    (package / "d.py").write_text("import lib_of_test\n")
    distribution(tmp_path / "here", "Lib.Of-Test", "1.0", "lib_of_test")
    program = (
        "import sys; sys.path.append(sys.argv[1]); assert sys.path[0] == ''\n"
        "from pathlib import Path\n"
        "from oolong.engine.code_digest import Code\n"
        "print(Code(Path(sys.argv[2])).digest('oolong.d'))\n"
    )
    argv = [sys.executable, "-B", "-c", program, str(CHECKOUT), str(package)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path / "here")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_library_that_is_not_installed_is_named_with_its_importer(package: Path) -> None:
    (package / "d.py").write_text("import no_such_library\n")
    with pytest.raises(Infrastructure, match=r"'no_such_library', which oolong\.d imports"):
        Code(package).digest("oolong.d")


def test_each_module_has_a_digest_of_its_own() -> None:
    coded = [path.relative_to(CHECKOUT).with_suffix("") for path in MODULES if stripped(path.read_text())]
    digests = {code_digest(".".join(path.parts).removesuffix(".__init__")) for path in coded}
    assert len(digests) == len(coded)


def test_what_is_cut_out() -> None:
    assert stripped(SPECIMEN) == STRIPPED


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""),
        ('"""Only prose."""\n', ""),
        ("'a'; 'b'; x = 1", "x = 1\n"),
        ("def f(): 'a'; 'b'\n", "def f(): pass\n"),
        ("'ä'; x = '#'  # ö", "x = '#'\n"),
        ("x = '''a\n\n  # b  \n''' # c\n", "x = '''a\n\n  # b  \n'''\n"),
        ("x = 1 \\\n\ny = 2\n", "x = 1 \\\n\ny = 2\n"),
        ("x = 1\r\n\r\ny = 2\r\n", "x = 1\ny = 2\n"),
        ("x = [\n\n  1,  # one\n\n]\n", "x = [\n  1,\n]\n"),
        ("x = 'a\\\n  # b \\\n\\\n c'\n", "x = 'a\\\n  # b \\\n\\\n c'\n"),
        ("b'no docstring'\n", "b'no docstring'\n"),
        ("f'no docstring'\n", "f'no docstring'\n"),
        ("def f(): # why\n\t'doc' # ü\n\treturn 1\n", "def f():\n\treturn 1\n"),
    ],
)
def test_corners(text: str, left: str) -> None:
    assert stripped(text) == left


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n", "x = 2\n"),
        ("x = '''\na'''\n", "x = '''\n\na'''\n"),
        ("x = f'''\na{1}'''\n", "x = f'''\na{1} '''\n"),
        ("if 1:\n  x = 1\n  y = 1\n", "if 1:\n  x = 1\ny = 1\n"),
        ("x = '# 1'\n", "x = '# 2'\n"),
    ],
)
def test_code_and_strings_count(before: str, after: str) -> None:
    assert stripped(before) != stripped(after)


def without_docstrings(text: str) -> str:
    """The AST of a text as if it had no docstrings; a body must not be empty."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            while node.body and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
            if not node.body and not isinstance(node, ast.Module):
                node.body = [ast.Pass()]
    return ast.dump(tree)


def cut_by_tokenize(text: str) -> list[str]:
    """The strings and comments that Python's own tokenizer finds; an f-string whole."""
    lines = text.splitlines(keepends=True)
    starts: list[tuple[int, int]] = []
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            starts.append(token.start)
        elif name.endswith("STRING_END"):
            (row, column), (last, end) = starts.pop(), token.end
            part = [line.encode() for line in lines[row - 1 : last]]
            if not starts:
                part[-1] = lines[last - 1][:end].encode()
                part[0] = part[0][len(lines[row - 1][:column].encode()) :]
                found.append(b"".join(part).decode())
        elif name in ("STRING", "COMMENT") and not starts:
            found.append(token.string)
    return [one.lstrip("rRbBfFuU") for one in found]


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(CHECKOUT)) for path in MODULES])
def test_stripping_a_module_leaves_its_program(path: Path) -> None:
    text = path.read_text()
    left = stripped(text)
    assert without_docstrings(left) == without_docstrings(text)
    assert stripped(left) == left
    assert [lexeme[0] for lexeme in LEXEME.finditer(text)] == cut_by_tokenize(text)


PROSE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)
COMMENT = PROSE.map(lambda text: f"#{text}")


@cache
def ends_of_statements(path: Path) -> tuple[str, list[int]]:
    """A module's text and the lines on which its statements end."""
    text = path.read_text() or "x = 1\n"
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return text, [token.start[0] for token in tokens if token.type == tokenize.NEWLINE]


@given(path=st.sampled_from(MODULES), data=st.data())
def test_prose_anywhere_in_a_module_does_not_count(path: Path, data: st.DataObject) -> None:
    text, ends = ends_of_statements(path)
    lines = text.split("\n")
    for row in sorted(data.draw(st.sets(st.sampled_from(ends), max_size=3)), reverse=True):
        lines[row - 1] += f"  # {data.draw(PROSE)}"
        lines[row:row] = data.draw(st.lists(st.one_of(st.just(""), st.just(" \t"), COMMENT), max_size=2))
    assert stripped("\n".join(lines)) == stripped(text)


def pythons() -> dict[str, Path]:
    """A Python of each version from 3.11 on that this machine has, by version; this one, and the system's, for sure."""
    places = [Path(sys.executable), Path("/usr/bin/python3")]
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin"]:
        places += sorted(path for path in Path(folder).glob("python3*") if re.fullmatch(r"python3(\.\d+)?", path.name))
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip()
        places += sorted(Path(root, "versions").glob("*/bin/python3"))
    found: dict[str, Path] = {}
    asks = "import sys; print(*sys.version_info[:3], sep='.')"
    for place in places:
        # a shim of pyenv whose version is not chosen ends with an error
        done = subprocess.run([place, "-I", "-c", asks], capture_output=True, text=True, check=False)
        number = done.stdout.strip()
        if done.returncode == 0 and tuple(map(int, number.split("."))) >= (3, 11):
            found.setdefault(number, place)
    return found


def test_every_python_here_strips_alike() -> None:
    texts = {str(path.relative_to(CHECKOUT)): path.read_text() for path in MODULES} | {"specimen": SPECIMEN}
    expected = {name: hashlib.sha256(stripped(text).encode()).hexdigest() for name, text in texts.items()}
    compared = pythons()
    for number, python in compared.items():
        # no site: the module has to work with the standard library alone
        argv = [str(python), "-I", "-S", "-B", "-c", PRINTS_DIGESTS, str(CHECKOUT)]
        done = subprocess.run(argv, input=json.dumps(texts), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"Python {number}: {done.stderr}"
        assert json.loads(done.stdout) == expected, f"Python {number} strips otherwise"
    assert "{}.{}.{}".format(*sys.version_info) in compared
    print("compared:", *(f"Python {number} ({python})" for number, python in compared.items()))
