import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oolong.errors import BadOutput
from oolong.host.budget import Budget
from oolong.host.digest import file_sha256
from oolong.host.manifest import (
    FILE,
    FOLDER,
    LINK,
    PROGRAM,
    Entry,
    check_size,
    entries_of,
    parse,
    render,
    with_folders,
)
from tests.support import very_deep

NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def test_everything_of_a_tree_is_listed_in_order(tmp_path: Path) -> None:
    (tmp_path / "b" / "empty").mkdir(parents=True)
    (tmp_path / "b" / "run").write_text("#!")
    (tmp_path / "b" / "run").chmod(0o755)
    (tmp_path / "a").write_text("text")
    (tmp_path / "c").symlink_to("b")
    os.mkfifo(tmp_path / "pipe")
    found = entries_of(tmp_path)
    assert [(entry.path, entry.kind) for entry in found] == [
        ("a", FILE),
        ("b", FOLDER),
        ("b/empty", FOLDER),
        ("b/run", PROGRAM),
        ("c", LINK),
    ]
    assert (found[0].content, found[-1].content) == (file_sha256(tmp_path / "a"), "b")


def test_a_name_that_is_no_text_is_kept(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")).touch()
    found = entries_of(tmp_path)
    assert parse(render(found)) == found


def test_times_and_owners_are_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    before = render(entries_of(tmp_path))
    os.utime(tmp_path / "a", (0, 0))
    assert render(entries_of(tmp_path)) == before


def test_folders_are_added_to_files(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "z").touch()
    files = [entry for entry in entries_of(tmp_path) if entry.kind != FOLDER]
    assert with_folders(files) == entries_of(tmp_path)


@given(
    st.lists(st.builds(Entry, path=PATHS, kind=st.sampled_from([FILE, LINK]), content=st.text(max_size=9)), max_size=5)
)
def test_a_manifest_is_plain_json_and_comes_back(entries: list[Entry]) -> None:
    rendered = render(entries)
    assert parse(rendered) == tuple(entries)
    listed = [[entry.path, entry.kind, entry.content] for entry in entries]
    assert rendered == (json.dumps(listed, indent=2) + "\n").encode()


def test_folders_without_end_are_refused_not_walked(tmp_path: Path) -> None:
    with very_deep(tmp_path / "tree"), pytest.raises(BadOutput, match="folders more than 64 deep"):
        entries_of(tmp_path)


def test_a_file_of_holes_is_refused_not_hashed(tmp_path: Path) -> None:
    (tmp_path / "vmlinux.o").touch()
    os.truncate(tmp_path / "vmlinux.o", 1 << 40)
    with pytest.raises(BadOutput, match="files of more than 262144 MiB"):
        entries_of(tmp_path)


def test_too_many_names_are_refused(tmp_path: Path) -> None:
    for number in range(11):
        (tmp_path / str(number)).touch()
    check_size(tmp_path, Budget(entries=11, size=0, depth=0))
    with pytest.raises(BadOutput, match="more than 10 files"):
        check_size(tmp_path, Budget(entries=10, size=0, depth=0))
