"""Makes stages: takes a lock, verifies the inputs, does the work or links an equal result, and publishes.

Results that no other run may use (`keep` False, `again=1`, made from such results) lie in a folder of the run's own.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from oolong.engine.ccache import within_budget
from oolong.engine.damage import damage
from oolong.engine.stage import Input, Outcome, Stage, StageResult, StageStatus, Work
from oolong.engine.store import LOG, Store, finish, link_outputs, read_result
from oolong.errors import BadOutput, Damaged, Infrastructure, Kind
from oolong.host.jobserver import Jobserver
from oolong.host.process import Scope
from oolong.host.progress import Progress

Say = Callable[[str], None]


class Observer(Protocol):
    """Hears what becomes of stages, from any thread."""

    def started(self, stage: Stage) -> None: ...

    def progress(self, stage: Stage) -> Progress: ...

    def listener(self, stage: Stage) -> Callable[[str], None] | None:
        """Takes the lines of a stage's programs; None where nobody wants them."""

    def finished(self, stage: Stage, result: StageResult) -> None: ...

    def unchanged(self, stage: Stage, result: StageResult) -> None: ...


class Silent:
    """An observer that shows nothing."""

    def started(self, stage: Stage) -> None: ...

    def progress(self, stage: Stage) -> Progress:
        del stage
        return lambda text, done=0, total=None: None

    def listener(self, stage: Stage) -> Callable[[str], None] | None:
        del stage
        return None

    def finished(self, stage: Stage, result: StageResult) -> None: ...

    def unchanged(self, stage: Stage, result: StageResult) -> None: ...


SILENT: Observer = Silent()


class Runner:
    """Makes the stages of one run, with a store to take results from and to publish them in."""

    def __init__(
        self, store: Store, *, own: Path, say: Say, jobserver: Jobserver | None = None, scope: Scope | None = None
    ) -> None:
        """`own` is the folder of results that are not published, on the file system of the store: of this runner alone
        while it lives. `say` takes a line for the person who waits."""
        self.store = store
        self.scope = scope or Scope()
        self.jobserver = jobserver
        self._own = own
        self._say = say
        self._unpublished: dict[str, StageResult] = {}
        self._again: set[str] = set()
        self._verified: set[tuple[Path, str]] = set()
        self._verifying: dict[Path, threading.Lock] = {}
        self._guard = threading.Lock()

    def find(self, stage: Stage) -> StageResult | None:
        """The result of a stage that this run made or may use."""
        return self._unpublished.get(stage.digest) or self.store.find(stage)

    def latest(self, stage: Stage) -> StageResult | None:
        """The same, or one that an earlier run of this checkout made and no later one may use: to look at."""
        if found := self.find(stage):
            return found
        left = read_result(self._own_place(stage))
        return left if left and left.digest == stage.digest else None

    def result(self, stage: Stage) -> StageResult:
        """The result of a stage that was made before in this run."""
        result = self.find(stage)
        if result is None:
            raise Infrastructure(f"{stage.task} vanished from {self.store.layout.cache}", hint="start again")
        return result

    def make(self, stage: Stage, observer: Observer, *, again: bool = False) -> StageResult:
        """The result of a stage: as found, else made now.

        With `again`, made anew once in this run, and kept apart from what was found. Two processes that want the
        same stage take turns; the second finds the work of the first.
        """
        # without the lock first: who works with a finished stage holds it, and a result is published whole
        if not again and (found := self.find(stage)):
            return found

        # where nothing is published yet, what is made anew is
        apart = again and self.store.find(stage) is not None
        waiting = self._waiting_for(stage)
        with self.store.writing(stage, waiting=waiting, check=self.scope.check, apart=apart) as folder:
            again = again and stage.digest not in self._again
            if not again and (found := self.find(stage)):
                return found
            with self._reading(stage.inputs) as inputs:
                started = time.monotonic()
                for one in stage.inputs:
                    self.verify_result(inputs[one.role], (one.output,))
                outcome = self._linked(stage, inputs, folder) if not again else None
                if outcome is None:
                    outcome = self._worked(stage, inputs, folder, observer)
                seconds = round(time.monotonic() - started, 3)
                outcome = self._finished(folder, stage, outcome, seconds)
                shared = outcome.keep and not apart and all(map(self.store.holds, inputs.values()))
                result = self._settled(folder, stage, shared=shared)
                self._again.add(stage.digest)
        if result.ok and self.store.holds(result) and (content := self._content(stage, inputs)):
            self.store.remember_twin(stage, content if stage.trusted else _apart(content))
        return result

    @contextmanager
    def reading(self, stages: Iterable[Stage]) -> Iterator[None]:
        """Nobody removes the results of some stages while the context lasts."""
        with ExitStack() as stack:
            for stage in stages:
                waiting = self._waiting_for(stage)
                stack.enter_context(self.store.reading(stage, waiting=waiting, check=self.scope.check))
            yield

    def verify(self, stage: Stage, outputs: Iterable[str]) -> None:
        """Damaged if one of some outputs of a finished stage is not what was published; what was made or verified in
        this run is not read again. Call it while `reading` the stage: what is damaged is discarded."""
        self.verify_result(self.result(stage), outputs)

    @contextmanager
    def _reading(self, inputs: Iterable[Input]) -> Iterator[dict[str, StageResult]]:
        """The results of inputs by role."""
        inputs = tuple(inputs)
        with self.reading({one.stage.task: one.stage for one in inputs}.values()):
            yield {one.role: self.result(one.stage) for one in inputs}

    def verify_result(self, result: StageResult, outputs: Iterable[str]) -> None:
        """The same for a result that was read while its lock is held."""
        with self._guard:
            lock = self._verifying.setdefault(result.folder, threading.Lock())
        with lock:
            todo = [output for output in outputs if (result.folder, output) not in self._verified]
            if path := damage(result, todo, self.store.stat_cache):
                self.store.discard(result)
                raise Damaged(path)
            self._verified.update((result.folder, output) for output in todo)

    def _content(self, stage: Stage, inputs: Mapping[str, StageResult]) -> str | None:
        """The digest of the recipe by content; None where an input failed or is known by its recipe alone."""
        if not all(result.ok for result in inputs.values()):
            return None
        if not any(one.is_by_content for one in stage.inputs if one.decides):
            return None
        return stage.by_content(inputs).digest

    def _linked(self, stage: Stage, inputs: Mapping[str, StageResult], folder: Path) -> Outcome | None:
        content = self._content(stage, inputs)
        if content is None:
            return None
        twin = self.store.twin(stage, content) or (None if stage.trusted else self.store.twin(stage, _apart(content)))
        return link_outputs(twin, folder) if twin else None

    def _worked(self, stage: Stage, inputs: Mapping[str, StageResult], folder: Path, observer: Observer) -> Outcome:
        for one in stage.inputs:
            if not inputs[one.role].ok and inputs[one.role].blocks:
                lines = (f"{one.stage.task} did not succeed",)
                return Outcome(status=StageStatus.BLOCKED, lines=lines, keep=False)
        work = Work(
            stage=stage,
            folder=folder,
            inputs=inputs,
            log=folder / LOG,
            progress=observer.progress(stage),
            listener=observer.listener(stage),
            layout=self.store.layout,
            jobserver=self.jobserver,
            scope=self.scope,
        )
        try:
            with self._writing_to_ccache(stage):
                return stage.work(work)
        except BadOutput as error:
            return Outcome(status=StageStatus.FAIL, kind=Kind.BUILD, lines=(error.what,))

    def _writing_to_ccache(self, stage: Stage) -> AbstractContextManager[None]:
        if stage.trusted:
            return nullcontext()
        return within_budget(self.store.layout, say=self._say, check=self.scope.check)

    def _finished(self, folder: Path, stage: Stage, outcome: Outcome, seconds: float) -> Outcome:
        """Complete the folder; an output that is missing, or is no plain file, is a failure of the build."""
        try:
            finish(folder, stage, outcome, seconds=seconds)
        except BadOutput as error:
            outcome = Outcome(status=StageStatus.FAIL, kind=Kind.BUILD, lines=(error.what,))
            finish(folder, stage, outcome, seconds=seconds)
        return outcome

    def _settled(self, folder: Path, stage: Stage, *, shared: bool) -> StageResult:
        """Publish a finished folder, or keep it to this run."""
        if shared and self.store.find(stage) is None:
            result = self.store.publish(folder, stage)
        else:
            place = self._own_place(stage)
            if place.exists():
                self.store.remove(place, stage.name, stage.digest)
            place.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(place)
            left = read_result(place)
            assert left
            result = self._unpublished[stage.digest] = left
        self._verified.update((result.folder, output) for output in (*result.artifacts, *result.trees))
        return result

    def _waiting_for(self, stage: Stage) -> Callable[[str], None]:
        return lambda holder: self._say(f"{stage.task}: waiting for {holder}")

    def _own_place(self, stage: Stage) -> Path:
        return self._own / stage.name / stage.subject


def _apart(content: str) -> str:
    """The name of a content as made where code ran that nobody vouches for: such a stage may take what a trusted one
    made, never the other way round."""
    return f"{content}-untrusted"
