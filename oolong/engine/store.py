"""Finished stages on disk: each in a folder named by its digest, published by rename, never changed after.

cache/stages/STAGE/DIGEST/result.json   what came of it, and the digest of every artifact
                          recipe.json   what decided it
                          log           the commands and all they said
                          ...           the artifacts
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from oolong.engine.damage import TREES, damage
from oolong.engine.stage import Artifact, Outcome, Stage, StageResult, StageStatus, Work, only
from oolong.errors import BadOutput, Damaged, Infrastructure
from oolong.host.digest import digest_of, file_sha256
from oolong.host.filelock import held, held_if_free, shared
from oolong.host.files import plain_file, remove_tree, write_atomically, write_json
from oolong.host.jobserver import Jobserver
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.host.progress import Progress

RESULT, RECIPE, LOG = "result.json", "recipe.json", "log"


class Store:
    """The finished stages of one cache, and the way to make more of them."""

    def __init__(
        self,
        layout: Layout,
        *,
        say: Callable[[str], None],
        scope: Scope | None = None,
        jobserver: Jobserver | None = None,
        jobs: int = 1,
    ) -> None:
        """`say` takes a line for the person who waits; `scope`, `jobserver` and `jobs` are handed to the work of
        stages."""
        self.layout = layout
        self._say = say
        self._scope = scope or Scope()
        self._jobserver = jobserver
        self._jobs = jobs
        self._made_again: set[str] = set()
        self._intact: set[Path] = set()
        self._checking = threading.Lock()

    def find(self, stage: Stage) -> StageResult | None:
        """The result of a stage, or None if it has not been made (or was made half and never published)."""
        result = _read_result(self._place(stage))
        if result and stage.tolerant and result.judged != self._outcomes(stage):
            return None
        return result

    def make(
        self,
        stage: Stage,
        progress: Progress,
        *,
        listener: Callable[[str], None] | None = None,
        again: bool = False,
    ) -> StageResult:
        """The result of a stage: as found if it was kept, else made now and published.

        With `again`, made anew even so, and put in the place of what was found. Two processes that want the
        same stage take turns; the second finds the work of the first.
        """
        # without the lock first: who works with a finished stage holds it, and a result is published whole
        if not again and (found := self.find(stage)) and found.keep:
            return found
        label = _label(self._place(stage))
        with held(self.layout.lock(label), waiting=lambda holder: self._say(f"{stage.task}: waiting for {holder}")):
            again = again and stage.recipe.digest not in self._made_again
            found = self.find(stage)
            if found and found.keep and not again:
                return found
            with self.reading(stage.needs) as needs, self._scratch(label) as folder:
                started = time.monotonic()
                self._check(needs.values(), trees=not stage.tolerant)
                twin = None if again else self._twin(stage, needs)
                if twin:
                    outcome = _link_twin(twin, folder)
                else:
                    work = self._work(folder, needs, progress, listener)
                    outcome = self._outcome(stage, work)
                _write_result(
                    folder,
                    stage,
                    outcome,
                    seconds=round(time.monotonic() - started, 3),
                    judged=self._outcomes(stage) if stage.tolerant else "",
                )
                self._publish(folder, self._place(stage))
            result = self.find(stage)
            assert result
            self._intact.add(result.folder)
            if again:
                self._made_again.add(stage.recipe.digest)
            if result.ok and result.keep and stage.by_content:
                write_atomically(self._twin_file(stage, needs), stage.recipe.digest.encode())
            return result

    def _outcome(self, stage: Stage, work: Work) -> Outcome:
        failed = [task for task, result in work.needs.items() if not result.ok and result.blocks]
        blockers = [] if stage.tolerant else failed
        if blockers:
            return Outcome(status=StageStatus.BLOCKED, lines=(f"{blockers[0]} did not succeed",), keep=False)
        try:
            outcome = stage.work(work)
            for relative in outcome.artifacts.values():
                plain_file(work.folder, relative)
        except BadOutput as error:
            return Outcome(status=StageStatus.FAIL, kind="build", lines=(error.what,))
        return outcome

    def _outcomes(self, stage: Stage) -> str:
        """A digest of what became of the stages that one needs: not of what decided it, which is in its recipe."""
        found = {need.task: self.find(need) for need in stage.needs}
        return digest_of(
            {
                task: [
                    result.status,
                    result.kind,
                    list(result.lines),
                    {n: a.sha256 for n, a in result.artifacts.items()},
                    result.data.get("checks", []),
                ]
                for task, result in found.items()
                if result
            }
        )

    @contextmanager
    def reading(self, stages: Sequence[Stage]) -> Iterator[dict[str, StageResult]]:
        """The results of some stages by task, which nobody makes anew while the context lasts."""
        with ExitStack() as stack:
            for stage in stages:
                stack.enter_context(shared(self.layout.lock(_label(self._place(stage)))))
            yield {stage.task: self.result(stage) for stage in stages}

    def _twin(self, stage: Stage, needs: Mapping[str, StageResult]) -> StageResult | None:
        """A kept success of the same stage whose inputs had other recipes but the same content."""
        if not stage.by_content or not all(result.ok for result in needs.values()):
            return None
        try:
            digest = self._twin_file(stage, needs).read_text()
        except FileNotFoundError:
            return None
        result = _read_result(self.layout.stage(stage.name, digest))
        good = result and result.ok and result.keep and not damage(result, self.layout, trees=False)
        return result if good else None

    def check_artifacts(self, results: Iterable[StageResult]) -> None:
        """Damaged if an artifact of one of them is not what it was; Infrastructure if one was made anew meanwhile."""
        results = list(results)
        with ExitStack() as stack:
            for result in results:
                stack.enter_context(shared(self.layout.lock(_label(result.folder))))
            self._check(results, trees=False)

    def _check(self, results: Iterable[StageResult], *, trees: bool) -> None:
        """Damaged if one of them is not what it was; what was made or checked in this run is not looked at again.

        The caller holds their locks, so that what is thrown away is not what another process has just published.
        """
        with self._checking:
            for result in results:
                if result.folder in self._intact:
                    continue
                if path := damage(result, self.layout, trees=trees):
                    if _read_result(result.folder) not in (None, result):
                        what = f"{result.stage} was made anew by another run after it was read: {result.folder}"
                        raise Infrastructure(what, hint="start again")
                    self._discard(result.folder)
                    raise Damaged(path)
                if trees or result.stage not in TREES:
                    self._intact.add(result.folder)

    def _discard(self, folder: Path) -> None:
        """Take a stage out of the store, unless somebody else did; it vanishes at once, so that nobody sees a part of
        it."""
        self.layout.scratch.mkdir(parents=True, exist_ok=True)
        aside = self.layout.scratch / f"{_label(folder)}.{uuid4().hex[:8]}.damaged"
        with suppress(FileNotFoundError):
            folder.rename(aside)
        remove_tree(aside)

    def _place(self, stage: Stage) -> Path:
        return self.layout.stage(stage.name, stage.recipe.digest)

    def _twin_file(self, stage: Stage, needs: Mapping[str, StageResult]) -> Path:
        content = {
            role: only(needs, need).artifacts[artifact].sha256 for role, (need, artifact) in stage.by_content.items()
        }
        return self.layout.twin(stage.name, stage.recipe.with_inputs(content).digest)

    def _work(
        self,
        folder: Path,
        needs: Mapping[str, StageResult],
        progress: Progress,
        listener: Callable[[str], None] | None,
    ) -> Work:
        return Work(
            folder=folder,
            needs=needs,
            log=folder / LOG,
            progress=progress,
            listener=listener,
            layout=self.layout,
            scope=self._scope,
            jobserver=self._jobserver,
            jobs=self._jobs,
        )

    def sweep(self) -> None:
        """Remove what killed processes left half-made; what another process is making now stays."""
        for left in self.layout.scratch.glob("*"):
            with held_if_free(self.layout.lock(left.name.partition(".")[0])) as ours:
                if ours:
                    remove_tree(left)

    def result(self, stage: Stage) -> StageResult:
        """The result of a stage that was made before in this run."""
        result = self.find(stage)
        if result is None:
            raise Infrastructure(f"{stage.task} vanished from {self.layout.cache}", hint="start again")
        return result

    @contextmanager
    def _scratch(self, label: str) -> Iterator[Path]:
        """An empty folder on the file system of the store; gone afterwards, unless it was published."""
        home = self.layout.scratch
        home.mkdir(parents=True, exist_ok=True)
        folder = home / f"{label}.{uuid4().hex[:8]}"
        folder.mkdir()
        try:
            yield folder
        finally:
            remove_tree(folder)

    def _publish(self, folder: Path, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            aside = folder.with_name(f"{folder.name}.old")
            place.rename(aside)
            folder.rename(place)
            remove_tree(aside)
        else:
            folder.rename(place)


def _link_twin(twin: StageResult, folder: Path) -> Outcome:
    """Fill `folder` with hard links to what a twin made; published files are never changed, so sharing is safe."""
    shutil.copytree(twin.folder, folder, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
    return Outcome(
        status=twin.status,
        kind=twin.kind,
        lines=twin.lines,
        artifacts={name: artifact.path for name, artifact in twin.artifacts.items()},
        data=twin.data,
    )


def _label(place: Path) -> str:
    """The name of the lock on the place of a finished stage; its folders in the scratch begin with it too."""
    return f"{place.parent.name}-{place.name}"


def _write_result(folder: Path, stage: Stage, outcome: Outcome, *, seconds: float, judged: str) -> None:
    artifacts = {}
    for name, relative in outcome.artifacts.items():
        path = folder / relative
        artifacts[name] = {"path": relative, "sha256": file_sha256(path), "size": path.stat().st_size}
    write_json(folder / RECIPE, stage.recipe.as_json())
    write_json(
        folder / RESULT,
        {
            "stage": stage.name,
            "digest": stage.recipe.digest,
            "status": outcome.status,
            "kind": outcome.kind,
            "lines": list(outcome.lines),
            "artifacts": artifacts,
            "data": dict(outcome.data),
            "keep": outcome.keep,
            "blocks": outcome.blocks,
            "seconds": seconds,
            "judged": judged,
        },
    )


def _read_result(folder: Path) -> StageResult | None:
    """The result in a folder; None if there is none, or it is damaged or of another version of oolong."""
    try:
        read = json.loads((folder / RESULT).read_bytes())
        read["status"] = StageStatus(read["status"])
        read["lines"] = tuple(read["lines"])
        read["artifacts"] = {name: Artifact(**fields) for name, fields in read["artifacts"].items()}
        return StageResult(folder=folder, **read)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
