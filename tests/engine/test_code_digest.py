from pathlib import Path

import pytest

from oolong.engine import code_digest as code_digests
from oolong.engine.code_digest import code_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "oolong"
    (root / "inner").mkdir(parents=True)
    (root / "__init__.py").touch()
    (root / "inner" / "__init__.py").touch()
    (root / "a.py").write_text("import json\nfrom oolong.b import thing\n")
    (root / "b.py").write_text("def thing():\n    from oolong.inner import c\n")
    (root / "inner" / "c.py").write_text("x = 1\n")
    (root / "d.py").write_text("y = 1\n")
    monkeypatch.setattr(code_digests, "PACKAGE", root)
    code_digests._imports.cache_clear()
    return root


def changed_by(package: Path, file: str, *, follow: bool = True) -> bool:
    before = code_digest(("oolong.a",), follow=follow)
    with (package / file).open("a") as stream:
        stream.write("# edited\n")
    code_digests._imports.cache_clear()
    return code_digest(("oolong.a",), follow=follow) != before


@pytest.mark.parametrize("file", ["a.py", "b.py", "inner/c.py"])
def test_an_edit_of_an_imported_module_counts(package: Path, file: str) -> None:
    assert changed_by(package, file)


def test_an_edit_elsewhere_does_not(package: Path) -> None:
    assert not changed_by(package, "d.py")


def test_without_following_only_the_module_itself_counts(package: Path) -> None:
    assert changed_by(package, "a.py", follow=False)
    assert not changed_by(package, "b.py", follow=False)


def test_other_files_count(package: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.j2"
    template.write_text("1")
    before = code_digest(("oolong.a",), files=(template,))
    template.write_text("2")
    assert code_digest(("oolong.a",), files=(template,)) != before


def test_every_module_of_the_package_is_found() -> None:
    assert len(code_digest(("oolong.engine.store",))) == 64
