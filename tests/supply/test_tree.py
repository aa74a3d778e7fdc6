import hashlib
import os
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oolong.errors import BadInput, Interrupted
from oolong.host import statcache
from oolong.host.digest import file_sha256
from oolong.host.manifest import FILE, LINK, PROGRAM, Entry, entries_of, with_folders
from oolong.host.process import Scope
from oolong.host.sandbox import SYSTEM
from oolong.host.statcache import StatCache
from oolong.supply import git as git_sandbox
from oolong.supply import tree
from tests.support import silent


@pytest.fixture
def cache(tmp_path: Path) -> StatCache:
    return StatCache(tmp_path / "stat.sqlite3")


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    folder = tmp_path / "linux"
    for name, text in {
        "Makefile": "VERSION = 7\n",
        "Kconfig": "",
        "arch/powerpc/Kconfig": "",
        "kernel/fork.c": "int fork;\n",
        "scripts/run.sh": "#!/bin/sh\n",
        "scripts/gen.c": "int main;\n",
        "include/uapi/linux/x.h": "",
        "Documentation/Kconfig": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "scripts/run.sh").chmod(0o755)
    (folder / "link").symlink_to("kernel/fork.c")
    return folder


def pool_in(folder: Path) -> tree.Pool:
    return tree.Pool(blobs=folder / "blobs", known=StatCache(folder / "blobs.sqlite3"))


def git(folder: Path, *words: str) -> None:
    settings = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "-C", str(folder), *settings, *words], check=True, capture_output=True)


def as_git(kernel: Path) -> None:
    (kernel / ".gitignore").write_text("*.o\n.config\ngenerated/\n")
    git(kernel, "init", "-q")
    git(kernel, "add", "-A")
    git(kernel, "commit", "-q", "-m", "x")


def names(entries: tuple[Entry, ...]) -> list[str]:
    return [entry.path for entry in entries]


def test_a_plain_tree_is_all_its_files_in_order(kernel: Path, cache: StatCache) -> None:
    entries = tree.snapshot(kernel, cache)
    assert names(entries) == sorted(names(entries))
    kinds = {entry.path: entry.kind for entry in entries}
    assert kinds["scripts/run.sh"] == PROGRAM
    assert kinds["kernel/fork.c"] == FILE
    assert kinds["link"] == LINK
    assert len(entries) == 9


def test_a_git_checkout_is_what_is_tracked_and_not_ignored_as_it_stands(kernel: Path, cache: StatCache) -> None:
    as_git(kernel)
    (kernel / "kernel/fork.o").write_text("ignored")
    (kernel / ".config").write_text("ignored")
    (kernel / "kernel/new.c").write_text("not tracked yet")
    (kernel / "kernel/fork.c").write_text("edited\n")
    (kernel / "scripts/gen.c").unlink()
    found = names(tree.snapshot(kernel, cache))
    assert "kernel/new.c" in found
    assert {"kernel/fork.o", ".config", "scripts/gen.c"}.isdisjoint(found)
    assert not any(name.startswith(".git/") for name in found)


def test_the_same_content_has_one_digest_by_git_and_plain(kernel: Path, cache: StatCache, tmp_path: Path) -> None:
    plain = tree.digest(tree.snapshot(kernel, cache))
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(kernel), str(copy)], check=True)
    git(copy, "init", "-q")
    git(copy, "add", "-A")
    assert tree.digest(tree.snapshot(copy, cache)) == plain


def test_a_checkouts_own_settings_run_nothing(kernel: Path, cache: StatCache, tmp_path: Path) -> None:
    as_git(kernel)
    git(kernel, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    tree.snapshot(kernel, cache)
    assert not (tmp_path / "ran").exists()


def test_git_sees_the_checkout_and_nothing_else(kernel: Path, cache: StatCache, tmp_path: Path) -> None:
    """A linked worktree needs its repository besides; neither has a network or can be written to."""
    as_git(kernel)
    linked = tmp_path / "linked"
    git(kernel, "worktree", "add", "-q", str(linked))
    assert names(tree.snapshot(linked, cache)) == names(tree.snapshot(kernel, cache))
    argv = git_sandbox.options(mounts=git_sandbox.mounts_of(linked), network=False, env={})
    assert {"--unshare-all", "--clearenv"} <= set(argv)
    assert "--bind" not in argv
    bound = {argv[index + 1] for index, word in enumerate(argv) if word.startswith("--ro-bind")}
    assert bound == {*SYSTEM, str(linked), str(kernel / ".git")}


def test_what_stands_on_the_disk_counts_not_what_git_tracks(kernel: Path, cache: StatCache) -> None:
    """A folder that is a link or a file now, and a name that is no UTF-8."""
    (kernel / os.fsdecode(b"caf\xe9.c")).write_text("int x;\n")
    as_git(kernel)
    for name in ("scripts", "include"):
        subprocess.run(["rm", "-r", str(kernel / name)], check=True)
    (kernel / "scripts").symlink_to("kernel")
    (kernel / "include").write_text("a file now")
    found = names(tree.snapshot(kernel, cache))
    assert {"scripts", "include", os.fsdecode(b"caf\xe9.c")} <= set(found)
    assert not any(name.startswith(("scripts/", "include/")) for name in found)
    assert names(tree.snapshot(kernel, cache)) == found


def write_index(kernel: Path, *paths: bytes) -> None:
    """A .git/index of version 2 (gitformat-index) with names that git would never put there."""
    entries = b""
    for path in sorted(paths):
        entry = struct.pack(">10L20sH", 0, 0, 0, 0, 0, 0, 0o100755, 0, 0, 0, bytes(20), len(path)) + path
        entries += entry + bytes(8 - len(entry) % 8)
    index = b"DIRC" + struct.pack(">LL", 2, len(paths)) + entries
    (kernel / ".git" / "index").write_bytes(index + hashlib.sha1(index).digest())


OUTWARD = ("../escaped", "arch/../../escaped", "/escaped", "kernel//fork.c", "./Makefile", "kernel/./fork.c", "..")


@pytest.mark.parametrize("name", OUTWARD)
def test_a_name_in_the_index_that_leads_outside_is_refused(kernel: Path, cache: StatCache, name: str) -> None:
    as_git(kernel)
    (kernel.parent / "escaped").write_text("#!/bin/sh\n")
    write_index(kernel, b"Makefile", name.encode())
    with pytest.raises(BadInput, match="leads out of the tree") as refused:
        tree.snapshot(kernel, cache)
    assert repr(name) in refused.value.what


@pytest.mark.parametrize("name", OUTWARD)
def test_nothing_is_written_for_an_entry_that_leads_outside(kernel: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "made" / "tree").mkdir(parents=True)
    entries = [Entry(path=name, kind=LINK, content="anything")]
    with pytest.raises(BadInput, match="leads out of the tree"):
        tree.materialise(kernel, entries, tmp_path / "made" / "tree", pool_in(tmp_path), progress=silent, scope=Scope())
    assert list((tmp_path / "made").rglob("*")) == [tmp_path / "made" / "tree"]


def test_another_repository_inside_is_left_out(kernel: Path, cache: StatCache) -> None:
    as_git(kernel)
    before = names(tree.snapshot(kernel, cache))
    git(kernel, "init", "-q", "inner")
    (kernel / "inner" / "file").write_text("")
    git(kernel / "inner", "add", "-A")
    git(kernel / "inner", "commit", "-q", "-m", "x")
    assert names(tree.snapshot(kernel, cache)) == before


@pytest.mark.parametrize("place", ["d", "kernel/deep/d"])
def test_nothing_is_read_through_a_link_that_git_ignores(
    kernel: Path, cache: StatCache, tmp_path: Path, place: str
) -> None:
    (tmp_path / "outside" / "keys").mkdir(parents=True)
    (tmp_path / "outside" / "keys" / "id_rsa").write_text("secret")
    (tmp_path / "outside" / "id_rsa").write_text("secret")
    for name in ("id_rsa", "keys/id_rsa"):
        (kernel / place / name).parent.mkdir(parents=True, exist_ok=True)
        (kernel / place / name).write_text("tracked")
    as_git(kernel)
    subprocess.run(["rm", "-r", str(kernel / place)], check=True)
    (kernel / place).symlink_to(tmp_path / "outside")
    (kernel / ".git" / "info" / "exclude").write_text(f"{place}\n")
    entries = tree.snapshot(kernel, cache)
    assert "kernel/fork.c" in names(entries)
    assert not [name for name in names(entries) if name.endswith("id_rsa")]
    assert hashlib.sha256(b"secret").hexdigest() not in {entry.content for entry in entries}


def test_a_tree_may_itself_be_reached_through_a_link(kernel: Path, cache: StatCache, tmp_path: Path) -> None:
    as_git(kernel)
    (tmp_path / "by another name").symlink_to(kernel)
    assert tree.snapshot(tmp_path / "by another name", cache) == tree.snapshot(kernel, cache)


def test_a_name_of_very_many_folders_is_no_trouble(kernel: Path, cache: StatCache) -> None:
    as_git(kernel)
    write_index(kernel, b"Makefile", b"a/" * 1500 + b"b")
    assert "Makefile" in names(tree.snapshot(kernel, cache))


@pytest.mark.parametrize("output", [".config", "vmlinux.o", "include/generated/autoconf.h"])
def test_a_plain_tree_with_build_output_is_refused(kernel: Path, cache: StatCache, output: str) -> None:
    (kernel / output).parent.mkdir(parents=True, exist_ok=True)
    (kernel / output).write_text("")
    with pytest.raises(BadInput, match="mrproper"):
        tree.snapshot(kernel, cache)


def test_a_folder_that_is_no_kernel_is_refused(tmp_path: Path, cache: StatCache) -> None:
    with pytest.raises(BadInput, match="no kernel tree"):
        tree.snapshot(tmp_path, cache)


def test_an_edit_counts_and_an_unchanged_file_is_not_read_again(
    kernel: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statcache, "SETTLED_NANOSECONDS", -(10**12))
    before = tree.snapshot(kernel, cache)
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(statcache, "file_sha256", reading)
    assert tree.snapshot(kernel, cache) == before
    assert read == []
    status = (kernel / "kernel/fork.c").stat()
    (kernel / "kernel/fork.c").write_text("int kfro;\n")
    os.utime(kernel / "kernel/fork.c", ns=(status.st_atime_ns, status.st_mtime_ns))
    after = tree.snapshot(kernel, cache)
    assert read == [kernel / "kernel/fork.c"], "size and mtime are equal: the change time has to tell"
    assert after != before


def test_a_file_that_has_just_changed_is_not_trusted(kernel: Path, cache: StatCache) -> None:
    tree.snapshot(kernel, cache)
    with cache.of(kernel) as known:
        assert known._rows == {}


@pytest.mark.parametrize(
    ("path", "configure", "guest", "stubs"),
    [
        ("kernel/fork.c", False, False, False),
        ("kernel/Kconfig", True, True, True),
        ("scripts/gen.c", True, True, True),
        ("scripts/run.sh", True, True, True),
        ("include/uapi/linux/x.h", False, True, True),
        ("include/linux/ftrace.h", False, False, True),
        ("tools/include/nolibc/sys.h", False, True, True),
        ("Documentation/Kconfig", True, True, True),
        ("samples/Kconfig", True, True, True),
        ("samples/x.sh", False, False, False),
        ("arch/powerpc/tools/check.sh", True, False, True),
        ("arch/powerpc/kernel/trace/ftrace.c", False, False, True),
        ("usr/gen_init_cpio.c", False, True, False),
    ],
)
def test_what_an_edit_can_reach(path: str, configure: bool, guest: bool, stubs: bool) -> None:
    entries = [Entry(path=path, kind=FILE, content="0" * 64)]
    assert (tree.configure_digest(entries) != tree.configure_digest([])) is configure
    assert (tree.guest_digest(entries) != tree.guest_digest([])) is guest
    assert (tree.stubs_digest(entries) != tree.stubs_digest([])) is stubs


def test_a_snapshot_has_fixed_times_and_modes_and_shares_blobs(kernel: Path, cache: StatCache, tmp_path: Path) -> None:
    (kernel / "kernel/fork.c").chmod(0o600)
    entries = tree.snapshot(kernel, cache)
    for target in (tmp_path / "a", tmp_path / "b"):
        target.mkdir()
        tree.materialise(kernel, entries, target, pool_in(tmp_path), progress=silent, scope=Scope())
        assert entries_of(target) == with_folders(entries)
    one = (tmp_path / "a" / "kernel/fork.c").stat()
    assert (int(one.st_mtime), stat.S_IMODE(one.st_mode), one.st_nlink) == (tree.FIXED_TIME, 0o644, 3)
    assert int((tmp_path / "a" / "kernel").stat().st_mtime) == tree.FIXED_TIME
    assert stat.S_IMODE((tmp_path / "a" / "scripts/run.sh").stat().st_mode) == 0o755
    assert (tmp_path / "a" / "kernel/fork.c").stat().st_ino != (kernel / "kernel/fork.c").stat().st_ino


def test_a_file_that_changes_under_the_snapshot_is_noticed(kernel: Path, cache: StatCache, tmp_path: Path) -> None:
    entries = tree.snapshot(kernel, cache)
    (kernel / "kernel/fork.c").write_text("other\n")
    (tmp_path / "a").mkdir()
    with pytest.raises(BadInput, match="changed while it was read"):
        tree.materialise(kernel, entries, tmp_path / "a", pool_in(tmp_path), progress=silent, scope=Scope())


@pytest.mark.parametrize("damaged", [b"", b"other bytes\n"])
def test_a_damaged_blob_is_replaced_before_it_is_linked(
    kernel: Path, cache: StatCache, tmp_path: Path, damaged: bytes
) -> None:
    """A loss of power may leave an empty file in the pool."""
    entries = tree.snapshot(kernel, cache)
    pool = pool_in(tmp_path)
    (tmp_path / "before").mkdir()
    tree.materialise(kernel, entries, tmp_path / "before", pool, progress=silent, scope=Scope())
    fork = next(entry for entry in entries if entry.path == "kernel/fork.c")
    blob = pool.blobs / fork.content[:2] / f"{fork.content}.{fork.kind}"
    blob.write_bytes(damaged)
    (tmp_path / "after").mkdir()
    tree.materialise(kernel, entries, tmp_path / "after", pool, progress=silent, scope=Scope())
    assert entries_of(tmp_path / "after") == with_folders(entries)


def test_blobs_that_did_not_change_are_not_read_again(
    kernel: Path, cache: StatCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = tree.snapshot(kernel, cache)
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(statcache, "file_sha256", reading)
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
        tree.materialise(kernel, entries, tmp_path / name, pool_in(tmp_path), progress=silent, scope=Scope())
    assert read == []


def test_a_file_made_its_own_leaves_the_blob_alone(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("old")
    os.link(tmp_path / "blob", tmp_path / "file")
    tree.unlinked(tmp_path / "file")
    (tmp_path / "file").write_text("new")
    assert (tmp_path / "blob").read_text() == "old"


def test_an_unpacked_tree_is_made_uniform(tmp_path: Path) -> None:
    (tmp_path / "t" / "d").mkdir(parents=True, mode=0o700)
    (tmp_path / "t/d/f").write_text("x")
    (tmp_path / "t/d/f").chmod(0o4711)
    os.mkfifo(tmp_path / "t/d/pipe")
    tree.normalise(tmp_path / "t")
    assert stat.S_IMODE((tmp_path / "t/d/f").stat().st_mode) == 0o755
    assert not (tmp_path / "t/d/pipe").exists()
    assert int((tmp_path / "t").stat().st_mtime) == tree.FIXED_TIME < time.time()


def test_a_file_that_claims_more_than_any_of_a_kernel_is_refused(kernel: Path, cache: StatCache) -> None:
    """It may be nothing but a hole, and would be hashed for ever."""
    (kernel / "hole.c").touch()
    os.truncate(kernel / "hole.c", 1 << 40)
    with pytest.raises(BadInput, match="has 1099511627776 bytes"):
        tree.snapshot(kernel, cache)


def test_files_of_holes_that_claim_more_than_any_kernel_are_refused_unread(
    kernel: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is as large as one may be; all would be hashed, and copied without their holes."""
    for number in range(17):
        (kernel / f"hole{number}").touch()
        os.truncate(kernel / f"hole{number}", 1 << 30)
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        return "0" * 64

    monkeypatch.setattr(statcache, "file_sha256", reading)
    with pytest.raises(BadInput, match=r"holds more than 16384 MiB\n.*out of the tree"):
        tree.snapshot(kernel, cache)
    assert read == []


def hole(file: Path) -> None:
    file.touch()
    os.truncate(file, 100 << 30)


def nul(file: Path) -> None:
    file.write_bytes(b"gitdir: a\0b")


def long(file: Path) -> None:
    file.write_text(f"gitdir: {'a' * 300}")


def loop(file: Path) -> None:
    (file.parent / "loop").symlink_to("loop")
    file.write_text("gitdir: loop/x")


def pipe(file: Path) -> None:
    os.mkfifo(file)


@pytest.mark.parametrize("made", [hole, nul, long, loop, pipe])
def test_what_git_never_writes_in_the_place_of_its_folder_is_refused(
    kernel: Path, cache: StatCache, made: Callable[[Path], None]
) -> None:
    made(kernel / ".git")
    with pytest.raises(BadInput):
        tree.snapshot(kernel, cache)


def ignoring(kernel: Path) -> Path:
    """A pipe that git waits for, to know what is ignored."""
    (kernel / ".gitignore").unlink()
    os.mkfifo(kernel / ".gitignore")
    return kernel / ".gitignore"


def including(kernel: Path) -> Path:
    """A pipe that git waits for as it starts."""
    os.mkfifo(kernel / "settings")
    with (kernel / ".git" / "config").open("a") as sink:
        sink.write(f"[include]\n\tpath = {kernel}/settings\n")
    return kernel / "settings"


@pytest.mark.parametrize("made", [ignoring, including])
def test_git_does_not_wait_for_a_pipe_for_ever(
    kernel: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Path]
) -> None:
    as_git(kernel)
    made(kernel)
    monkeypatch.setattr(git_sandbox, "SILENCE_SECONDS", 1.0)
    with pytest.raises(BadInput, match=r"said nothing for 1 s\n.*wait for a pipe"):
        tree.snapshot(kernel, cache)


@pytest.mark.parametrize("made", [ignoring, including])
def test_git_that_waits_for_a_pipe_can_be_cancelled(
    kernel: Path, cache: StatCache, made: Callable[[Path], Path]
) -> None:
    as_git(kernel)
    place, scope, ended = made(kernel), Scope(), []

    def look() -> None:
        try:
            tree.snapshot(kernel, cache, scope=scope)
        except Interrupted as error:
            ended.append(type(error))

    thread = threading.Thread(target=look)
    thread.start()
    # opens once git has it open too
    with place.open("wb"):
        scope.cancel()
        thread.join()
    assert ended == [Interrupted]


def test_a_list_of_names_that_is_longer_than_any_is_refused(
    kernel: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_git(kernel)
    monkeypatch.setattr(git_sandbox, "MOST_KEPT", 100)
    with pytest.raises(BadInput, match="git ls-files says more than"):
        tree.snapshot(kernel, cache)
