"""The version of a stage: a digest of the code that it executes, found by following its imports.

No list and no number is kept by hand: an edit of a module gives every stage that executes it a new recipe, an edit of
its prose gives none.
"""

import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import packages_distributions, version
from importlib.util import resolve_name
from itertools import takewhile
from pathlib import Path

from oolong.errors import Infrastructure
from oolong.host.digest import digest_of, file_sha256
from oolong.host.layout import default_cache
from oolong.host.memo import Memo

PACKAGE = Path(__file__).parent.parent
# rooms that move bytes but decide none: what a stage takes from them is in its recipe, as argv, env, inputs, sandbox
STOPS = frozenset(("oolong.errors", "oolong.printable", "oolong.host", "oolong.spec", "oolong.engine"))
# a string or a comment. Python 3.11's grammar, which all modules keep to, has no other place for quotes; the module
# tokenize finds the same in thirty times the time, and from 3.12 on cuts f-strings into parts
LEXEME = re.compile(
    r"""'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\#[^\n]*""", re.DOTALL
)
SEPARATOR = re.compile(r"[ \t]*;[ \t]*")


class Code:
    """The modules of a package as they stood when each was first read.

    A process goes on with the code that it has loaded, so an answer once given stays; another Code sees later edits.
    """

    def __init__(self, package: Path, *, memo: Memo | None = None) -> None:
        """`memo` remembers what texts came to, for later processes."""
        self._package = package
        self._memo = memo or Memo(None)
        self._modules: dict[str, _Module | None] = {}
        self._digests: dict[str, str] = {}

    def digest(self, module: str, *, files: Iterable[Path] = ()) -> str:
        """The digest of a module, the modules it leads to, the libraries that they import, and other files."""
        if module not in self._digests:
            self._digests[module] = self._digest(module)
            self._memo.save()
        return digest_of([self._digests[module], sorted([path.name, _file_sha256(path)] for path in files)])

    def modules_of(self, module: str) -> tuple[str, ...]:
        """The modules whose code counts for a module, itself included; a package counts if its __init__ holds code."""
        return tuple(name for name, found in sorted(self._followed(module).items()) if found.sha256)

    def _digest(self, module: str) -> str:
        followed = self._followed(module)
        texts = {name: found.sha256 for name, found in followed.items() if found.sha256}
        libraries: dict[str, str] = {}
        for name, found in followed.items():
            for imported in found.imports:
                libraries |= self._library(imported, importer=name)
        return digest_of({"modules": texts, "libraries": libraries})

    def _followed(self, module: str) -> "dict[str, _Module]":
        if self._module(module) is None:
            raise ValueError(f"{self._package} has no module {module}")
        followed: dict[str, _Module] = {}
        waiting = [module]
        while waiting:
            name = waiting.pop()
            found = None if name in followed else self._module(name)
            if found:
                followed[name] = found
                waiting += [one for one in _with_packages([name, *found.imports]) if not _stops(one)]
        return followed

    def _module(self, name: str) -> "_Module | None":
        """A module of the package; None if it has no such module, as for the name of a function in it."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> "_Module | None":
        top, *below = name.split(".")
        if top != self._package.name:
            return None
        place = self._package.joinpath(*below)
        package = place / "__init__.py"
        if package.is_file():
            return self._module_at(package, name)
        path = place.with_suffix(".py")
        return self._module_at(path, name.rpartition(".")[0]) if below and path.is_file() else None

    def _module_at(self, path: Path, package: str) -> "_Module":
        text = path.read_bytes()
        key = f"module {sha256(text).hexdigest()} {_version()}"
        code, imports = self._memo.answer(key, lambda: _understood(text.decode(), path))
        return _Module(sha256=code, imports=tuple(sorted({resolve_name(name, package) for name in imports})))

    def _library(self, imported: str, *, importer: str) -> dict[str, str]:
        """The distribution that an import comes from, with its version; nothing for Python's own and ours."""
        top = imported.split(".")[0]
        if top == self._package.name or top in sys.stdlib_module_names:
            return {}
        found = _distributions(top, self._memo)
        if not found:
            raise Infrastructure(
                f"no installed distribution has {top!r}, which {importer} imports",
                hint="./doit installs what requirements.lock names",
            )
        return found


_OWN = Code(PACKAGE, memo=Memo(default_cache() / "hints" / "code.json"))


def code_digest(module: str, *, files: Iterable[Path] = ()) -> str:
    """The digest of the code that a module of oolong executes, as `Code.digest`; of a stage, its `__name__`.

    Infrastructure if a library that the code imports is not installed.
    """
    return _OWN.digest(module, files=files)


def modules_of(module: str) -> tuple[str, ...]:
    """The modules of oolong that count in the code digest of a module."""
    return _OWN.modules_of(module)


def stripped(text: str) -> str:
    """A module's text less comments, docstrings, blank lines and white space at the end of lines.

    All is cut out by position, so that every Python from 3.11 on gives the same text: an AST dump would differ.
    Lines inside other strings stay as they are. SyntaxError if the text is no Python.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _without_comments(_without_docstrings(text, ast.parse(text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """A module's digest (of its stripped text; empty if nothing is left of it) and the full names that it imports."""

    sha256: str
    imports: tuple[str, ...]


def _understood(text: str, path: Path) -> tuple[str, list[str]]:
    """The digest of a module's stripped text, empty if nothing is left of it, and what it imports, as written."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    tree = ast.parse(text, filename=str(path))
    code = _without_comments(_without_docstrings(text, tree))
    return sha256(code.encode()).hexdigest() if code else "", sorted(set(_imports(tree.body)))


@cache
def _version() -> str:
    """What decides how a text is understood: this module."""
    return file_sha256(Path(__file__))


def _file_sha256(path: Path) -> str:
    status = os.stat(path)
    return _sha256_of_file(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def _sha256_of_file(path: Path, _mtime_ns: int, _size: int) -> str:
    return file_sha256(path)


@cache
def _distributions(top: str, memo: Memo) -> dict[str, str]:
    return {name: version(name) for name in _all_distributions(memo).get(top, ())}


@cache
def _all_distributions(memo: Memo) -> dict[str, list[str]]:
    """The distributions that have a top-level name; to look through them all takes a while."""
    # an empty name is the current folder
    folders = [folder or os.curdir for folder in sys.path]
    installed = sorted(name for folder in folders if Path(folder).is_dir() for name in os.listdir(folder))
    key = f"distributions {digest_of([name for name in installed if name.endswith(('.dist-info', '.egg-info'))])}"
    found: dict[str, list[str]] = memo.answer(key, lambda: dict(packages_distributions()))
    return found


def _stops(module: str) -> bool:
    return ".".join(module.split(".")[:2]) in STOPS


def _with_packages(modules: Iterable[str]) -> Iterator[str]:
    """Modules with the packages around them, whose __init__ Python executes first."""
    for module in modules:
        yield module
        while module := module.rpartition(".")[0]:
            yield module


def _imports(statements: Sequence[ast.stmt]) -> Iterator[str]:
    """What statements import, as written, with a dot for each level of a relative import.

    A name that is imported from a module may itself be a module: both are given. What is imported for type checkers
    alone is left out: no program executes it, and types decide nothing.
    """
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            module = "." * statement.level + (statement.module or "")
            yield module
            joint = "." if statement.module else ""
            yield from (f"{module}{joint}{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.If) and _is_for_type_checkers(statement.test):
            yield from _imports(statement.orelse)
        else:
            for block in _blocks(statement):
                yield from _imports(block)


def _is_for_type_checkers(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The statements inside a statement."""
    for field in ("body", "orelse", "finalbody"):
        yield getattr(statement, field, [])
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


def _without_docstrings(text: str, tree: ast.Module) -> str:
    lines = text.split("\n")
    # from the end, so that the positions of what is still to be cut stay right
    for docstring, stand_in in reversed(list(_docstrings(tree))):
        assert docstring.end_lineno is not None
        assert docstring.end_col_offset is not None
        first, last = docstring.lineno - 1, docstring.end_lineno - 1
        # columns of an AST count bytes
        head = lines[first].encode()[: docstring.col_offset].decode()
        tail = lines[last].encode()[docstring.end_col_offset :].decode()
        if not stand_in and (separator := SEPARATOR.match(tail)):
            tail = tail[separator.end() :]
        lines[first : last + 1] = [head + stand_in + tail]
    return "\n".join(lines)


def _docstrings(holder: ast.Module | ast.stmt) -> Iterator[tuple[ast.stmt, str]]:
    """Docstrings in the order of the text, each with what has to stand in its place.

    A string after a docstring is taken for one too: it would be the docstring once the first is gone.
    """
    if isinstance(holder, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        for docstring in takewhile(_is_string, holder.body):
            alone = docstring is holder.body[-1] and not isinstance(holder, ast.Module)
            yield docstring, "pass" if alone else ""
    for block in [holder.body] if isinstance(holder, ast.Module) else _blocks(holder):
        for statement in block:
            yield from _docstrings(statement)


def _is_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _without_comments(text: str) -> str:
    """Text less comments, blank lines and white space at line ends."""
    lines = text.split("\n")
    # numbers of the lines that end inside a string
    inside: set[int] = set()
    number = position = 0
    for lexeme in LEXEME.finditer(text):
        number += text.count("\n", position, lexeme.start())
        position = lexeme.start()
        if lexeme[0].startswith("#"):
            lines[number] = lines[number].removesuffix(lexeme[0])
        else:
            inside.update(range(number, number + lexeme[0].count("\n")))
    kept: list[str] = []
    for number, line in enumerate(lines):
        code = line if number in inside else line.rstrip(" \t\f")
        # a blank line after a backslash ends the statement
        if code or number in inside or (kept and kept[-1].endswith("\\")):
            kept.append(code)
    return "".join(f"{line}\n" for line in kept)
