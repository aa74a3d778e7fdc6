import os
import stat
import threading
from pathlib import Path

import pytest

from oolong.errors import BadOutput
from oolong.host.files import private_folder, read_plain, real_folder, remove_tree, text_of, write_atomically
from tests.support import very_deep


def test_atomic_writes_leave_the_old_file_on_trouble(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_or_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    """Root may rename a plain file over /dev/null, and then no other user can write there."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, b"data")
        assert os.read(reader, 10) == b"data"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_read_only_trees_can_be_removed(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").touch(0o444)
    inner.chmod(0o555)
    (tmp_path / "tree").chmod(0o555)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
    remove_tree(tmp_path / "not there")


def test_a_tree_deeper_than_any_path_can_be_removed(tmp_path: Path) -> None:
    with very_deep(tmp_path / "tree"):
        remove_tree(tmp_path / "tree")
        assert list(tmp_path.iterdir()) == []


def test_two_may_remove_one_tree(tmp_path: Path) -> None:
    for number in range(40):
        folder = tmp_path / "tree" / f"{number}"
        folder.mkdir(parents=True)
        for name in range(25):
            (folder / f"{name}").touch()
    troubles: list[Exception] = []
    together = threading.Barrier(2)

    def remove() -> None:
        together.wait()
        try:
            remove_tree(tmp_path / "tree")
        except Exception as error:
            troubles.append(error)

    threads = [threading.Thread(target=remove) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_tree_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    remove_tree(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_plain(tmp_path, "file", most=5) == b"12345"


def test_what_is_put_in_the_place_of_a_plain_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("secret")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").touch()
    os.truncate(tmp_path / "endless", 1 << 40)
    (tmp_path / "long").write_bytes(b"123456")
    for name in ("link", "folder", "pipe", "endless", "long", "missing"):
        with pytest.raises(BadOutput):
            read_plain(tmp_path, name, most=5)


def test_a_real_folder_is_made_and_leads_nowhere_else(tmp_path: Path) -> None:
    assert real_folder(tmp_path, "usr/bin").is_dir()
    (tmp_path / "usr" / "lib").symlink_to("/")
    for path in ("usr/lib", "usr/lib/x"):
        with pytest.raises(BadOutput, match="usr/lib is no folder"):
            real_folder(tmp_path, path)


def test_a_text_has_a_limit_and_keeps_its_returns(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\r\nb\rc\xff")
    assert text_of(tmp_path, "text") == "a\r\nb\rc\N{REPLACEMENT CHARACTER}"
    assert text_of(tmp_path, "text", most=7) == text_of(tmp_path, "text")
    with pytest.raises(BadOutput, match="text has more than 6 bytes"):
        text_of(tmp_path, "text", most=6)


def test_a_private_folder_is_its_owners_alone_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "cache")
    assert stat.S_IMODE((tmp_path / "a" / "cache").stat().st_mode) == 0o700
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    private_folder(tmp_path / "shared")
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755
