import json
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.engine.stage import Outcome, Recipe, Stage, StageStatus, Work, failed
from oolong.engine.store import Store
from oolong.errors import Damaged, Infrastructure, Interrupted
from oolong.host import process
from oolong.host.files import remove_tree, write_atomically
from oolong.host.process import Scope
from tests.support import layout_in, silent, stage_of, write_file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(layout_in(tmp_path), say=lambda line: None)


def test_a_stage_is_published_with_its_digests_and_recipe(store: Store) -> None:
    stage = stage_of("one", write_file("a", "text"))
    result = store.make(stage, silent)
    assert result.status == StageStatus.OK
    assert result.path("a").read_text() == "text"
    assert result.artifacts["a"].size == 4
    assert json.loads((result.folder / "recipe.json").read_bytes()) == stage.recipe.as_json()
    assert result.folder == store.layout.stage("one", stage.recipe.digest)
    assert list(store.layout.scratch.iterdir()) == []


def test_a_kept_result_is_found_and_not_made_again(store: Store) -> None:
    runs: list[int] = []

    def count(work: Work) -> Outcome:
        runs.append(1)
        return Outcome()

    stage = stage_of("one", count)
    store.make(stage, silent)
    store.make(stage, silent)
    assert len(runs) == 1
    store.make(stage, silent, again=True)
    assert len(runs) == 2


def test_a_failure_is_a_result_and_is_kept(store: Store) -> None:
    result = store.make(stage_of("one", lambda work: failed("build", ("it broke",))), silent)
    assert (result.status, result.kind, result.lines) == (StageStatus.FAIL, "build", ("it broke",))
    assert store.find(stage_of("one", write_file("a", "never"))) == result


def test_a_result_not_to_keep_is_made_again(store: Store) -> None:
    store.make(stage_of("one", lambda work: failed("hang", (), keep=False)), silent)
    assert store.make(stage_of("one", write_file("a", "now")), silent).status == StageStatus.OK


def test_a_stage_after_a_failure_is_blocked_and_says_by_whom(store: Store) -> None:
    first = stage_of("one", lambda work: failed("build", ()))
    second = stage_of("two", write_file("a", ""), first)
    store.make(first, silent)
    result = store.make(second, silent)
    assert (result.status, result.lines, result.keep) == (StageStatus.BLOCKED, ("one:cell did not succeed",), False)


def test_a_tolerant_stage_sees_the_failure(store: Store) -> None:
    first = stage_of("one", lambda work: failed("build", ()))
    seen: list[str] = []

    def look(work: Work) -> Outcome:
        seen.append(work.need("one").status)
        return Outcome()

    store.make(first, silent)
    assert store.make(stage_of("two", look, first, tolerant=True), silent).status == StageStatus.OK
    assert seen == [StageStatus.FAIL]


def test_trouble_with_the_world_leaves_nothing(store: Store) -> None:
    def trouble(work: Work) -> Outcome:
        (work.folder / "half").write_text("x")
        raise Infrastructure("the disk is full")

    stage = stage_of("one", trouble)
    with pytest.raises(Infrastructure):
        store.make(stage, silent)
    assert store.find(stage) is None
    assert list(store.layout.scratch.iterdir()) == []


def test_the_work_of_a_stage_is_cancelled_with_its_run_and_done_by_the_next(tmp_path: Path) -> None:
    scope = Scope()

    def run_twice(work: Work) -> Outcome:
        process.run(["true"], scope=work.scope)
        scope.cancel()
        process.run(["true"], scope=work.scope)
        return Outcome()

    stage = stage_of("one", run_twice)
    with pytest.raises(Interrupted):
        Store(layout_in(tmp_path), say=print, scope=scope).make(stage, silent)
    again = Store(layout_in(tmp_path), say=print)
    assert again.find(stage) is None
    assert again.make(stage, silent).status is StageStatus.OK


def test_equal_content_is_linked_instead_of_made_again(store: Store) -> None:
    made: list[str] = []

    def consume(work: Work) -> Outcome:
        made.append(work.need("one").path("a").read_text())
        return write_file("out", made[-1])(work)

    def chain(version: str, text: str) -> tuple[Stage, Stage]:
        first = stage_of("one", write_file("a", text), inputs={"version": version})
        return first, stage_of("two", consume, first, by_content={"one": ("one", "a")})

    for version, text in (("1", "same"), ("2", "same"), ("3", "other")):
        first, second = chain(version, text)
        store.make(first, silent)
        result = store.make(second, silent)
        assert result.path("out").read_text() == text
        assert result.digest == second.recipe.digest
    assert made == ["same", "other"]


def test_what_a_killed_process_left_is_not_taken_and_is_removed(store: Store) -> None:
    def hang(work: Work) -> Outcome:
        (work.folder / "half").write_text("x")
        time.sleep(600)
        return Outcome()

    stage = stage_of("one", hang)
    process = multiprocessing.get_context("fork").Process(target=store.make, args=(stage, silent))
    process.start()
    while not list(store.layout.scratch.glob("*/half")):
        time.sleep(0.02)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert store.find(stage) is None
    store.sweep()
    assert list(store.layout.scratch.iterdir()) == []
    assert store.make(replace(stage, work=write_file("a", "whole")), silent).status == StageStatus.OK
    assert list(store.layout.scratch.iterdir()) == []


def test_the_second_process_waits_says_for_whom_and_takes_the_work_of_the_first(tmp_path: Path) -> None:
    said: list[str] = []
    store = Store(layout_in(tmp_path), say=said.append)
    begun = tmp_path / "begun"

    def slow(work: Work) -> Outcome:
        begun.touch()
        time.sleep(1)
        return write_file("a", "by the first")(work)

    process = multiprocessing.get_context("fork").Process(target=store.make, args=(stage_of("one", slow), silent))
    process.start()
    while not begun.exists():
        time.sleep(0.02)
    result = store.make(stage_of("one", write_file("a", "by the second")), silent)
    process.join()
    assert result.path("a").read_text() == "by the first"
    assert len(said) == 1
    assert said[0].startswith(f"one:cell: waiting for process {process.pid} ")


def test_a_result_that_was_made_anew_meanwhile_is_not_thrown_away(store: Store) -> None:
    stage = stage_of("one", write_file("a", "old"))
    store.make(stage, silent)
    reader, other = (Store(store.layout, say=print) for _ in range(2))
    old = reader.result(stage)
    other.make(replace(stage, work=write_file("a", "new")), silent, again=True)
    with pytest.raises(Infrastructure, match="made anew by another run") as refused:
        reader.check_artifacts([old])
    assert not isinstance(refused.value, Damaged)
    reader.check_artifacts([reader.result(stage)])
    assert reader.result(stage).path("a").read_text() == "new"


def test_equal_bytes_made_anew_meanwhile_are_no_trouble(store: Store) -> None:
    stage = stage_of("one", write_file("a", "same"))
    store.make(stage, silent)
    reader, other = (Store(store.layout, say=print) for _ in range(2))
    old = reader.result(stage)
    other.make(stage, silent, again=True)
    reader.check_artifacts([old])
    assert reader.result(stage).path("a").read_text() == "same"


def test_two_runs_that_find_the_same_damage_both_say_so(store: Store) -> None:
    stage = stage_of("one", write_file("a", "text"))
    store.make(stage, silent).path("a").write_text("rotten")
    readers = [Store(store.layout, say=print) for _ in range(2)]
    results = [reader.result(stage) for reader in readers]
    for reader, result in zip(readers, results, strict=True):
        with pytest.raises(Damaged):
            reader.check_artifacts([result])
    assert store.find(stage) is None
    assert list(store.layout.scratch.iterdir()) == []


def test_nobody_makes_anew_what_is_being_read(store: Store) -> None:
    stage = stage_of("one", write_file("a", "old"))
    store.make(stage, silent)
    waits = threading.Event()
    other = Store(store.layout, say=lambda line: waits.set())
    with ThreadPoolExecutor(1) as pool:
        with store.reading([stage]) as results:
            anew = pool.submit(other.make, replace(stage, work=write_file("a", "new")), silent, again=True)
            assert waits.wait(60)
            store.check_artifacts(results.values())
            assert results["one:cell"].path("a").read_text() == "old"
        assert anew.result().path("a").read_text() == "new"


def test_atomic_writes_leave_the_old_file_on_trouble(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_read_only_trees_can_be_removed(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").touch(0o444)
    inner.chmod(0o555)
    (tmp_path / "tree").chmod(0o555)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
    remove_tree(tmp_path / "not there")


def test_recipes_depend_on_every_part() -> None:
    base = Recipe(stage="s", argv=(("a",),), env={"E": "1"}, inputs={"i": "1"}, code="c")
    others = [
        replace(base, stage="t"),
        replace(base, argv=(("b",),)),
        replace(base, argv=(("a",), ("a",))),
        replace(base, env={"E": "2"}),
        replace(base, inputs={"i": "2"}),
        replace(base, code="d"),
    ]
    assert len({recipe.digest for recipe in [base, *others]}) == 7


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"stage": "one"}', '{"unknown": 1}'])
def test_a_damaged_result_is_made_again(store: Store, damage: str) -> None:
    stage = stage_of("one", write_file("a", "text"))
    made = store.make(stage, silent)
    (made.folder / "result.json").write_text(damage)
    assert store.find(stage) is None
    assert store.make(stage, silent).path("a").read_text() == "text"


def test_a_result_with_an_unknown_status_is_made_again(store: Store) -> None:
    stage = stage_of("one", write_file("a", "text"))
    result = store.make(stage, silent).folder / "result.json"
    found = store.find(stage)
    assert found
    assert found.status is StageStatus.OK
    result.write_text(result.read_text().replace('"status": "ok"', '"status": "fine"'))
    assert store.find(stage) is None


def test_a_stage_that_judges_is_made_anew_when_what_it_judges_came_out_otherwise(store: Store) -> None:
    outcomes = [failed("stall", ("slow",)), Outcome()]
    first = stage_of("one", lambda work: outcomes[len(judged)])
    judged: list[str] = []

    def judge(work: Work) -> Outcome:
        judged.append(work.need("one").status)
        return Outcome()

    second = stage_of("two", judge, first, tolerant=True)
    for again in (False, True):
        store.make(first, silent, again=again)
        assert store.find(second) is None
        store.make(second, silent)
        store.make(second, silent)
    assert judged == [StageStatus.FAIL, StageStatus.OK]


def test_other_checks_are_judged_anew_and_other_times_are_not(store: Store) -> None:
    """An audit made again may find something else and leave the same files."""
    found = iter([{"checks": [], "seconds": 1}, {"checks": [], "seconds": 2}, {"checks": ["other"], "seconds": 3}])
    judged: list[list[str]] = []

    def judge(work: Work) -> Outcome:
        judged.append(work.need("one").data["checks"])
        return Outcome()

    for _ in range(3):
        first = stage_of("one", lambda work: Outcome(data=next(found)))
        again = Store(store.layout, say=print)
        again.make(first, silent, again=True)
        again.make(stage_of("two", judge, first, tolerant=True), silent)
    assert judged == [[], ["other"]]


def test_again_makes_a_digest_anew_once_in_a_run(store: Store) -> None:
    made: list[int] = []

    def work(work: Work) -> Outcome:
        made.append(1)
        return Outcome()

    for _ in range(3):
        store.make(stage_of("one", work), silent, again=True)
    assert len(made) == 1


def test_what_is_no_plain_file_is_a_failure_of_the_build(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    def link_out(work: Work) -> Outcome:
        (work.folder / "out").symlink_to(tmp_path / "secret")
        return Outcome(artifacts={"out": "out"})

    result = store.make(stage_of("one", link_out), silent)
    assert (result.status, result.kind, result.artifacts) == (StageStatus.FAIL, "build", {})
    assert "no plain file out" in result.lines[0]
