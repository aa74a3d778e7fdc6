import hashlib
import json
import multiprocessing
import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.engine.runner import SILENT, Runner
from oolong.engine.stage import DATA, Input, Outcome, Stage, StageStatus, Tree, Work, failed
from oolong.errors import Damaged, Infrastructure, Interrupted, Kind
from oolong.host.files import text_of
from oolong.host.layout import Layout
from tests.support import layout_in, runner_in, stage_of, write_file

OK, FAIL, BLOCKED = StageStatus


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


@pytest.fixture
def runner(layout: Layout) -> Runner:
    return runner_in(layout)


def tree_of(**files: str) -> Callable[[Work], Outcome]:
    """The work of a stage that makes one tree, `tree`, of files."""

    def work(work: Work) -> Outcome:
        for name, text in files.items():
            path = work.folder / "there" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Outcome(trees={"tree": Tree(path="there")})

    return work


def test_a_stage_is_published_with_its_digests_and_recipe(runner: Runner, layout: Layout) -> None:
    stage = stage_of("one", write_file("a", "text"))
    result = runner.make(stage, SILENT)
    assert result.status == OK
    assert result.path("a").read_text() == "text"
    assert result.artifacts["a"].size == 4
    assert json.loads((result.folder / "recipe.json").read_bytes()) == stage.recipe.as_json()
    assert result.folder == layout.stage("one", stage.digest)
    assert list(layout.scratch.iterdir()) == []


def test_a_kept_result_is_found_and_not_made_again(layout: Layout) -> None:
    runs: list[int] = []

    def count(work: Work) -> Outcome:
        runs.append(1)
        return Outcome()

    stage = stage_of("one", count)
    for _ in range(2):
        runner_in(layout).make(stage, SILENT)
    assert len(runs) == 1
    runner_in(layout).make(stage, SILENT, again=True)
    assert len(runs) == 2


def test_a_failure_is_a_result_and_is_kept(runner: Runner) -> None:
    result = runner.make(stage_of("one", lambda work: failed(Kind.BUILD, ("it broke",))), SILENT)
    assert (result.status, result.kind, result.lines) == (FAIL, "build", ("it broke",))
    assert runner.store.find(stage_of("one", write_file("a", "never"))) == result


def test_a_result_not_to_keep_is_this_runs_alone_and_is_made_again_by_the_next(layout: Layout) -> None:
    stage = stage_of("one", lambda work: failed(Kind.HANG, (), keep=False))
    first = runner_in(layout)
    made = first.make(stage, SILENT)
    assert first.find(stage) == made
    second = runner_in(layout)
    assert (second.store.find(stage), second.find(stage), second.latest(stage)) == (None, None, made)
    assert second.make(replace(stage, work=write_file("a", "now")), SILENT).status == OK


def test_a_stage_after_a_failure_is_blocked_and_says_by_which(runner: Runner) -> None:
    first = stage_of("one", lambda work: failed(Kind.BUILD, ()))
    second = stage_of("two", write_file("a", ""), first)
    runner.make(first, SILENT)
    result = runner.make(second, SILENT)
    assert (result.status, result.lines, result.keep) == (BLOCKED, ("one:cell did not succeed",), False)
    assert runner.store.find(second) is None


def test_a_failure_that_does_not_block_is_worked_with(runner: Runner) -> None:
    first = stage_of(
        "one", lambda work: replace(write_file("a", "x")(work), status=FAIL, kind=Kind.STUB_AUDIT, blocks=False)
    )
    second = stage_of("two", lambda work: write_file("b", work.path("one").read_text())(work), first, output="a")
    runner.make(first, SILENT)
    assert runner.make(second, SILENT).path("b").read_text() == "x"


def test_trouble_with_the_world_leaves_nothing(runner: Runner, layout: Layout) -> None:
    def trouble(work: Work) -> Outcome:
        (work.folder / "half").write_text("x")
        raise Infrastructure("the disk is full")

    stage = stage_of("one", trouble)
    with pytest.raises(Infrastructure):
        runner.make(stage, SILENT)
    assert runner.find(stage) is None
    assert list(layout.scratch.iterdir()) == []


def test_equal_content_is_linked_instead_of_made_again(runner: Runner) -> None:
    made: list[str] = []

    def consume(work: Work) -> Outcome:
        made.append(work.path("one").read_text())
        return write_file("out", made[-1])(work)

    for version, text in (("1", "same"), ("2", "same"), ("3", "other")):
        first = stage_of("one", write_file("a", text), version=version)
        second = stage_of("two", consume, first, output="a")
        runner.make(first, SILENT)
        result = runner.make(second, SILENT)
        assert result.path("out").read_text() == text
        assert result.digest == second.digest
        assert json.loads((result.folder / "recipe.json").read_bytes()) == second.recipe.as_json()
    assert made == ["same", "other"]


def test_an_equal_tree_is_linked_with_its_manifest(runner: Runner) -> None:
    made: list[int] = []

    def copied(work: Work) -> Outcome:
        made.append(1)
        return tree_of(out=(work.path("one") / "a").read_text())(work)

    for version, text in (("1", "same"), ("2", "same"), ("3", "other")):
        first = stage_of("one", tree_of(a=text), version=version)
        runner.make(first, SILENT)
        result = runner.make(stage_of("two", copied, first, output="tree"), SILENT)
        assert (result.path("tree") / "out").read_text() == text
        runner_in(runner.store.layout).verify(stage_of("two", copied, first, output="tree"), ["tree"])
    assert len(made) == 2


def test_an_input_known_by_its_recipe_alone_is_never_linked(runner: Runner) -> None:
    made: list[int] = []

    def work(work: Work) -> Outcome:
        made.append(1)
        return Outcome()

    for version in "12":
        first = stage_of("one", write_file("a", "same"), version=version)
        runner.make(first, SILENT)
        runner.make(stage_of("two", work, first), SILENT)
    assert len(made) == 2


def test_the_data_of_a_stage_can_be_what_counts(runner: Runner) -> None:
    seen: list[int] = []

    def look(work: Work) -> Outcome:
        seen.append(work.input("one").data["count"])
        return Outcome()

    for version, count in (("1", 5), ("2", 5), ("3", 6)):
        first = stage_of("one", lambda work, count=count: Outcome(data={"count": count}), version=version)  # type: ignore[misc]
        runner.make(first, SILENT)
        runner.make(stage_of("two", look, first, output=DATA), SILENT)
    assert seen == [5, 6]


def test_a_part_of_an_input_decides_where_its_digest_is_given(runner: Runner) -> None:
    first, other = (stage_of("one", write_file("a", text), version=text) for text in ("x", "y"))
    parts = [
        Stage(
            subject="cell",
            base=stage_of("two", write_file("b", "")).base,
            inputs=(Input(role="one", stage=stage, output="a", digest="part"),),
            work=write_file("b", ""),
        )
        for stage in (first, other)
    ]
    assert parts[0].digest == parts[1].digest
    assert stage_of("two", write_file("b", ""), first).digest != stage_of("two", write_file("b", ""), other).digest


def test_a_tool_that_decides_nothing_is_in_no_recipe(runner: Runner) -> None:
    tools = [stage_of("tool", write_file("t", text), version=text) for text in "12"]
    made = [
        Stage(
            subject="cell",
            base=stage_of("two", write_file("b", "")).base,
            inputs=(Input(role="tool", stage=tool, output="t", decides=False),),
            work=lambda work: write_file("b", work.path("tool").read_text())(work),
        )
        for tool in tools
    ]
    assert made[0].digest == made[1].digest
    assert [need.task for need in made[0].needs] == ["tool:cell"]
    runner.make(tools[0], SILENT)
    assert runner.make(made[0], SILENT).path("b").read_text() == "1"


def test_what_is_not_declared_is_not_kept(runner: Runner) -> None:
    def work(work: Work) -> Outcome:
        tree_of(**{"in/a": "1"})(work)
        for left in ("rest", "there-not/b", "files/c", "files/kept"):
            (work.folder / left).parent.mkdir(exist_ok=True)
            (work.folder / left).write_text("x")
        (work.folder / "link").symlink_to("/")
        return Outcome(artifacts={"kept": "files/kept"}, trees={"tree": Tree(path="there")})

    result = runner.make(stage_of("one", work), SILENT)
    there = {str(path.relative_to(result.folder)) for path in result.folder.rglob("*") if path.is_file()}
    assert there == {"files/kept", "there/in/a", "tree.manifest.json", "recipe.json", "result.json"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: (tree / "in" / "a").write_text("2"),
        lambda tree: (tree / "in" / "a").unlink(),
        lambda tree: (tree / "new").touch(),
        lambda tree: (tree / "empty").mkdir(),
        lambda tree: [(tree / "in" / "a").unlink(), (tree / "in" / "a").symlink_to("b")],
        lambda tree: (tree.parent / "tree.manifest.json").write_text("[]"),
        lambda tree: (tree.parent / "tree.manifest.json").unlink(),
    ],
)
def test_a_damaged_tree_is_noticed_before_it_is_used_and_is_discarded(
    layout: Layout, damage: Callable[[Path], object]
) -> None:
    first = stage_of("one", tree_of(**{"in/a": "1", "in/b": ""}))
    second = stage_of("two", write_file("x", ""), first, output="tree")
    made = runner_in(layout).make(first, SILENT)
    damage(made.path("tree"))
    later = runner_in(layout)
    with pytest.raises(Damaged):
        later.make(second, SILENT)
    assert later.find(first) is None
    later.make(first, SILENT)
    assert later.make(second, SILENT).ok


def test_only_what_is_used_is_verified(layout: Layout) -> None:
    def both(work: Work) -> Outcome:
        (work.folder / "b").write_text("unused")
        return Outcome(artifacts={**write_file("a", "used")(work).artifacts, "b": "b"})

    first = stage_of("one", both)
    runner_in(layout).make(first, SILENT).path("b").write_text("damaged")
    assert runner_in(layout).make(stage_of("two", write_file("x", ""), first, output="a"), SILENT).ok


def test_a_damaged_twin_is_not_linked(layout: Layout) -> None:
    stages = {}
    for version in "12":
        first = stage_of("one", write_file("a", "same"), version=version)
        stages[version] = first, stage_of("two", write_file("out", "good"), first, output="a")
    for stage in stages["1"]:
        runner_in(layout).make(stage, SILENT)
    layout.stage("two", stages["1"][1].digest).joinpath("out").write_text("damaged")
    for stage in stages["2"]:
        result = runner_in(layout).make(stage, SILENT)
    assert result.path("out").read_text() == "good"


def test_again_makes_a_digest_anew_once_in_a_run_and_replaces_nothing(layout: Layout) -> None:
    texts = iter(["first", "second", "never"])
    stage = stage_of("one", lambda work: write_file("a", next(texts))(work))
    published = runner_in(layout).make(stage, SILENT)
    runner = runner_in(layout)
    for _ in range(2):
        again = runner.make(stage, SILENT, again=True)
        assert again.path("a").read_text() == "second"
    assert published.path("a").read_text() == "first"
    assert runner.store.find(stage) == published
    assert runner.find(stage) == again
    assert not runner.store.holds(again)


def test_what_is_made_from_an_unpublished_result_is_not_published(layout: Layout) -> None:
    first = stage_of("one", write_file("a", "x"))
    second = stage_of("two", write_file("b", "y"), first, output="a")
    runner_in(layout).make(first, SILENT)
    runner = runner_in(layout)
    runner.make(first, SILENT, again=True)
    made = runner.make(second, SILENT)
    assert made.ok
    assert runner.store.find(second) is None
    assert runner_in(layout).latest(second) == made


def test_what_a_killed_process_left_is_not_taken_and_is_removed(runner: Runner, layout: Layout) -> None:
    def hang(work: Work) -> Outcome:
        (work.folder / "half").write_text("x")
        time.sleep(600)
        return Outcome()

    stage = stage_of("one", hang)
    process = multiprocessing.get_context("fork").Process(target=runner.make, args=(stage, SILENT))
    process.start()
    while not list(layout.scratch.glob("*/half")):
        time.sleep(0.02)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert runner.find(stage) is None
    runner.store.sweep()
    assert list(layout.scratch.iterdir()) == []
    assert runner.make(replace(stage, work=write_file("a", "whole")), SILENT).status == OK
    assert list(layout.scratch.iterdir()) == []


def test_the_second_process_waits_says_for_whom_and_takes_the_work_of_the_first(layout: Layout, tmp_path: Path) -> None:
    said: list[str] = []
    runner = runner_in(layout, say=said.append)
    begun = tmp_path / "begun"

    def slow(work: Work) -> Outcome:
        begun.touch()
        time.sleep(1)
        return write_file("a", "by the first")(work)

    process = multiprocessing.get_context("fork").Process(target=runner.make, args=(stage_of("one", slow), SILENT))
    process.start()
    while not begun.exists():
        time.sleep(0.02)
    result = runner.make(stage_of("one", write_file("a", "by the second")), SILENT)
    process.join()
    assert result.path("a").read_text() == "by the first"
    assert len(said) == 1
    assert said[0].startswith(f"one:cell: waiting for process {process.pid} ")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"stage": "one"}', '{"unknown": 1}'])
def test_a_damaged_result_is_made_again(layout: Layout, damage: str) -> None:
    stage = stage_of("one", write_file("a", "text"))
    made = runner_in(layout).make(stage, SILENT)
    (made.folder / "result.json").write_text(damage)
    runner = runner_in(layout)
    assert runner.find(stage) is None
    assert runner.make(stage, SILENT).path("a").read_text() == "text"
    assert runner.store.find(stage)


def test_what_is_no_plain_file_is_a_failure_of_the_build(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    def link_out(work: Work) -> Outcome:
        (work.folder / "out").symlink_to(tmp_path / "secret")
        return Outcome(artifacts={"out": "out"})

    result = runner.make(stage_of("one", link_out), SILENT)
    assert (result.status, result.kind, result.artifacts) == (FAIL, "build", {})
    assert "no plain file out" in result.lines[0]
    assert not (result.folder / "out").is_symlink()


@pytest.mark.parametrize("left", ["nothing", "a link", "a file"])
def test_a_tree_that_is_no_folder_is_a_failure_of_the_build(runner: Runner, tmp_path: Path, left: str) -> None:
    def work(work: Work) -> Outcome:
        place = work.folder / "there"
        if left == "a link":
            place.symlink_to(tmp_path)
        elif left == "a file":
            place.touch()
        return Outcome(trees={"tree": Tree(path="there")})

    result = runner.make(stage_of("one", work), SILENT)
    assert (result.status, result.kind, result.trees) == (FAIL, "build", {})


def test_a_second_run_in_one_process_works_after_the_first_was_cancelled(layout: Layout) -> None:
    stage = stage_of("one", write_file("a", "text"))
    first = runner_in(layout)
    first.scope.cancel()
    assert runner_in(layout).make(stage, SILENT).ok


def test_two_runs_that_find_the_same_damage_both_say_so(layout: Layout) -> None:
    stage = stage_of("one", write_file("a", "text"))
    runner_in(layout).make(stage, SILENT).path("a").write_text("rotten")
    readers = [runner_in(layout) for _ in range(2)]
    results = [reader.result(stage) for reader in readers]
    for reader, result in zip(readers, results, strict=True):
        with reader.reading([stage]), pytest.raises(Damaged):
            reader.verify_result(result, ["a"])
    assert readers[0].find(stage) is None
    readers[0].store.sweep()
    assert list(layout.scratch.iterdir()) == []


def test_what_another_run_finds_damaged_stays_whole_for_those_who_work_with_it(layout: Layout) -> None:
    """A sandbox that has a damaged tree mounted would lose files in the middle of a build."""
    stage = stage_of("one", tree_of(a="1", b="2"))
    runner_in(layout).make(stage, SILENT).path("tree").joinpath("a").write_text("rotten")
    user, other = runner_in(layout), runner_in(layout)
    with user.reading([stage]):
        mounted = os.open(user.result(stage).path("tree"), os.O_PATH)
        with other.reading([stage]), pytest.raises(Damaged):
            other.verify(stage, ["tree"])
        other.store.sweep()
        assert sorted(os.listdir(f"/proc/self/fd/{mounted}")) == ["a", "b"]
    other.store.sweep()
    assert os.listdir(f"/proc/self/fd/{mounted}") == []
    os.close(mounted)


def test_a_program_that_lost_its_mode_is_damage(layout: Layout) -> None:
    stage = stage_of("one", tree_of(script="#!/bin/sh"))
    made = runner_in(layout).make(stage, SILENT)
    made.path("tree").joinpath("script").chmod(0o755)
    with pytest.raises(Damaged, match="script"):
        runner_in(layout).verify(stage, ["tree"])


def test_pipes_and_sockets_in_a_tree_are_not_kept(layout: Layout) -> None:
    def work(work: Work) -> Outcome:
        outcome = tree_of(a="1")(work)
        os.mkfifo(work.folder / "there" / "pipe")
        return outcome

    stage = stage_of("one", work)
    tree = runner_in(layout).make(stage, SILENT).path("tree")
    assert [path.name for path in tree.iterdir()] == ["a"]
    runner_in(layout).verify(stage, ["tree"])


def test_a_published_result_can_be_used_while_it_is_made_again(layout: Layout) -> None:
    heard: list[str] = []
    inner: list[bool] = []

    def work(work: Work) -> Outcome:
        if inner:
            user = runner_in(layout, say=heard.append)
            inner.append(user.make(stage_of("two", write_file("b", ""), stage, output="a"), SILENT).ok)
        return write_file("a", "text")(work)

    stage = stage_of("one", work)
    runner_in(layout).make(stage, SILENT)
    inner.append(True)
    assert runner_in(layout).make(stage, SILENT, again=True).ok
    assert (inner, heard) == ([True, True], [])


def test_a_reader_says_for_whom_it_waits_and_can_be_cancelled(layout: Layout) -> None:
    stage = stage_of("one", write_file("a", "text"))
    maker = runner_in(layout)
    maker.make(stage, SILENT)
    heard: list[str] = []

    def say(line: str) -> None:
        heard.append(line)
        reader.scope.cancel()

    reader = runner_in(layout, say=say)
    alone = maker.store.writing(stage, waiting=heard.append, check=maker.scope.check)
    with alone, pytest.raises(Interrupted), reader.reading([stage]):
        raise AssertionError("it was read while it was written")
    assert [line.partition(" (")[0] for line in heard] == [f"{stage.task}: waiting for process {os.getpid()}"]


def test_a_result_that_another_run_published_after_damage_is_not_thrown_away(layout: Layout) -> None:
    stage = stage_of("one", write_file("a", "text"))
    runner_in(layout).make(stage, SILENT).path("a").write_text("rotten")
    reader, other = runner_in(layout), runner_in(layout)
    assert reader.result(stage).path("a").read_text() == "rotten"
    with other.reading([stage]), pytest.raises(Damaged):
        other.verify(stage, ["a"])
    other.make(stage, SILENT)
    with reader.reading([stage]):
        reader.verify(stage, ["a"])
    assert reader.result(stage).path("a").read_text() == "text"


def test_nobody_publishes_in_the_place_of_what_is_being_read(layout: Layout) -> None:
    stage = stage_of("one", write_file("a", "text"))
    runner = runner_in(layout)
    runner.make(stage, SILENT).path("a").write_text("rotten")
    waits = threading.Event()
    other = runner_in(layout, say=lambda line: waits.set())
    with ThreadPoolExecutor(1) as pool:
        with runner.reading([stage]):
            runner.store.discard(runner.result(stage))
            made = pool.submit(other.make, stage, SILENT)
            assert waits.wait(60)
            assert runner.find(stage) is None
        assert made.result().path("a").read_text() == "text"


def test_what_was_hashed_for_a_manifest_is_not_hashed_by_the_next_run(runner: Runner) -> None:
    tree = runner.make(stage_of("one", tree_of(**{"in/a": "text"})), SILENT).path("tree")
    with runner.store.stat_cache.of(tree) as known:
        digest = known.sha256(Path("/nothing/to/read"), "in/a", os.lstat(tree / "in" / "a"))
    assert digest == hashlib.sha256(b"text").hexdigest()


def equal_content(*, vouched: bool, text: str) -> Stage:
    """A stage of a source that is new, with content that is always the same."""
    source = replace(stage_of("source", write_file("a", "same"), version=text), vouched=vouched)
    return stage_of("compile", write_file("o", text), source, output="a")


@pytest.mark.parametrize(("first", "second", "made"), [(True, False, "1"), (False, True, "2"), (False, False, "1")])
def test_a_trusted_stage_links_nothing_that_an_untrusted_one_made(
    layout: Layout, first: bool, second: bool, made: str
) -> None:
    for vouched, text in ((first, "1"), (second, "2")):
        runner = runner_in(layout)
        stage = equal_content(vouched=vouched, text=text)
        runner.make(stage.needs[0], SILENT)
        result = runner.make(stage, SILENT)
    assert result.path("o").read_text() == made


@pytest.mark.parametrize(("first", "second", "made"), [(True, False, "2"), (False, True, "2"), (False, False, "1")])
def test_a_trusted_stage_finds_nothing_that_an_untrusted_one_of_equal_parts_made(
    layout: Layout, first: bool, second: bool, made: str
) -> None:
    for vouched, text in ((first, "1"), (second, "2")):
        stage = replace(stage_of("configure", write_file("a", text)), vouched=vouched)
        result = runner_in(layout).make(stage, SILENT)
    assert result.path("a").read_text() == made


def test_an_output_that_claims_more_than_any_build_leaves_is_its_failure(runner: Runner) -> None:
    def work(work: Work) -> Outcome:
        (work.folder / "vmlinux").touch()
        os.truncate(work.folder / "vmlinux", 9 << 30)
        return Outcome(artifacts={"vmlinux": "vmlinux"})

    result = runner.make(stage_of("link", work), SILENT)
    assert (result.status, result.kind) == (FAIL, Kind.BUILD)
    assert result.lines == ("the build left vmlinux of more than 8192 MiB",)


def test_what_is_published_runs_as_nobody_and_is_nobodys_to_write(runner: Runner) -> None:
    def work(work: Work) -> Outcome:
        tree = work.folder / "tree"
        (tree / "in").mkdir(parents=True)
        for name, mode in (("tree/in/sh", 0o6755), ("tree/in/data", 0o666), ("vmlinux", 0o4777)):
            (work.folder / name).write_text(name)
            (work.folder / name).chmod(mode)
        (tree / "link").symlink_to("in/sh")
        (tree / "in").chmod(0o3777)
        tree.chmod(0o777)
        return Outcome(artifacts={"vmlinux": "vmlinux"}, trees={"tree": Tree(path="tree")})

    stage = stage_of("compile", work)
    result = runner.make(stage, SILENT)
    names = ("tree", "tree/in", "tree/in/sh", "tree/in/data", "vmlinux")
    modes = {name: stat.S_IMODE((result.folder / name).stat().st_mode) for name in names}
    assert modes == {"tree": 0o755, "tree/in": 0o755, "tree/in/sh": 0o755, "tree/in/data": 0o644, "vmlinux": 0o755}
    assert stat.S_IMODE(result.folder.stat().st_mode) & 0o022 == 0
    again = runner_in(runner.store.layout)
    with again.reading([stage]):
        again.verify(stage, ["vmlinux", "tree"])


def test_a_text_that_claims_gigabytes_is_a_failure_of_the_build(runner: Runner) -> None:
    def work(work: Work) -> Outcome:
        (work.folder / ".config").touch()
        os.truncate(work.folder / ".config", 100 << 30)
        text_of(work.folder, ".config")
        return Outcome()

    result = runner.make(stage_of("compile", work), SILENT)
    assert (result.status, result.kind) == (FAIL, Kind.BUILD)
    assert result.lines == (".config has more than 67108864 bytes",)
