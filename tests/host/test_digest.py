import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oolong.host.digest import canonical_json, digest_of, file_sha256, files_digest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_canonical_json_means_the_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers()))
def test_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


def test_order_of_lists_matters() -> None:
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_nan_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_of(float("nan"))


def test_file_sha256_is_the_well_known_one(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert file_sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_files_digest_depends_on_names_and_bytes_not_on_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    before = files_digest([one, two], relative_to=tmp_path)
    assert files_digest([two, one], relative_to=tmp_path) == before
    two.write_text("3")
    assert files_digest([one, two], relative_to=tmp_path) != before
