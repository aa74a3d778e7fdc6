"""The version of a stage: the digest of the modules that it executes, found by following their imports.

No number is kept by hand: whoever edits a module gives every stage that executes it a new recipe.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from oolong.host.digest import digest_of, file_sha256

PACKAGE = Path(__file__).parent.parent


def code_digest(modules: Iterable[str], *, files: Iterable[Path] = (), follow: bool = True) -> str:
    """The digest of modules of this package (`oolong.stubs`) with all that they import of it, and of other files.

    With `follow` False only the modules named count: for stages that everything is built on.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            if follow:
                waiting.extend(_imports(module))
    parts = [[module, file_sha256(_path(module))] for module in sorted(found)]
    return digest_of([parts, sorted([path.name, file_sha256(path)] for path in files)])


@cache
def _imports(module: str) -> tuple[str, ...]:
    return tuple(_imported(ast.parse(_path(module).read_bytes())))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            candidates = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in candidates if name.split(".")[0] == PACKAGE.name and _path(name).is_file())


def _path(module: str) -> Path:
    relative = Path(*module.split(".")[1:])
    package = PACKAGE / relative / "__init__.py"
    return package if package.is_file() else PACKAGE / relative.with_suffix(".py")
