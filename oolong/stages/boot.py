"""The stage `boot`: the kernel in QEMU, what its console says about it, and its memory at agreed points."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from oolong.audit import probes
from oolong.audit.image import Image, image_of
from oolong.audit.survey import survey
from oolong.binary import structs
from oolong.binary.elf import opened
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Outcome, Recipe, Stage, StageResult, Work, failed
from oolong.errors import BadInput, BadOutput, Infrastructure, Kind
from oolong.host.cputime import Share, Stopwatch, is_counted, share_of
from oolong.host.digest import digest_of
from oolong.host.files import plain_file, remove_tree, text_of
from oolong.host.sandbox import Mount, Sandbox, bwrap_argv
from oolong.kbuild import config as kconfig
from oolong.machine import console, guest, memory, qemu
from oolong.machine.capture import Capture, Visit, points_of
from oolong.machine.console import Console
from oolong.machine.memory import Memory, Unreadable
from oolong.spec.model import Cell
from oolong.stages.offsets import OFFSETS
from oolong.stages.sandboxed import Ran, run

CONSOLE, MEMORY, REPORT = "console.log", "memory", "guest-report"
# what the sandbox sees as qemu.MEMORY, as long as QEMU runs
SHARED = "shared"
# all times but the last one here are QEMU's CPU time, so that a loaded machine makes no hangs;
# a machine that was silent for so long when its time was up hangs, one that still spoke was too slow
SILENCE_SECONDS = 20.0
# a machine in which nothing has run for so long waits for something that will not come
IDLE_SECONDS = 60.0
READ_SECONDS = 0.4
# a healthy boot says a thousandth of it
LARGEST_CONSOLE = 16 << 20
LARGEST_REPORT = 64 << 20
# what a panic prints after its first line
LAST_WORDS_SECONDS = 5.0


def stage(cell: Cell, *, emulator: Stage, compiled: Stage, linked: Stage, laid_out: Stage, initramfs: Stage) -> Stage:
    expected = cell.config.startup_tests
    append = _append(cell, release="RELEASE", kprobes="KPROBES", probes=("PROBES",))
    recipe = Recipe(
        stage="boot",
        argv=(qemu.argv(cell.machine, append=append, lines=qemu.Lines(monitor="MONITOR", debugger="DEBUGGER")),),
        inputs={
            "emulator": emulator.recipe.digest,
            "compile": compiled.recipe.digest,
            "config": compiled.recipe.digest,
            "link": linked.recipe.digest,
            "offsets": laid_out.recipe.digest,
            "initramfs": initramfs.recipe.digest,
            "expected": digest_of(None if expected is None else list(expected)),
        },
        code=code_digest(__name__),
    )
    return Stage(
        subject=cell.name,
        recipe=recipe,
        needs=(emulator, compiled, linked, laid_out, initramfs),
        work=partial(_work, cell),
        by_content={
            "compile": ("compile", "release"),
            "config": ("compile", "config"),
            "link": ("link", "vmlinux"),
            "offsets": ("offsets", OFFSETS),
            "initramfs": ("initramfs", "initramfs"),
        },
    )


def _append(cell: Cell, *, release: str, kprobes: str, probes: Sequence[str]) -> str:
    arguments = guest.arguments(release=release, endian=cell.endian.value, kprobes=kprobes, probes=probes)
    return f"{cell.machine.cmdline} {arguments}"


def _work(cell: Cell, work: Work) -> Outcome:
    compiled = work.need("compile")
    release = text_of(compiled.folder, compiled.artifacts["release"].path).strip()
    config = kconfig.parse(text_of(compiled.folder, compiled.artifacts["config"].path), where=".config")
    kprobes = "ftrace" if config.get("KPROBES_ON_FTRACE") == "y" else "trap"
    kernel = work.need("link").path("vmlinux")
    with opened(kernel) as vmlinux:
        points = points_of(vmlinux)
        try:
            image = image_of(vmlinux, "vmlinux") if points else None
        except BadInput:
            image = None  # the audit says what is wrong with it
    asked = probes.probes(image) if image and kprobes == "ftrace" else ()
    append = _append(cell, release=release, kprobes=kprobes, probes=asked)
    sandbox = Sandbox(
        rootfs=work.need("rootfs").folder / "root",
        mounts=(
            Mount(host=kernel, inside=qemu.KERNEL),
            Mount(host=work.need("initramfs").path("initramfs"), inside=qemu.INITRAMFS),
        ),
    )
    shared = work.folder / SHARED
    shared.mkdir()
    (shared / qemu.REPORT).touch()
    visit = _visit(image, work.need("offsets"))
    capture = Capture(shared, seen_as=qemu.MEMORY, ram=cell.machine.memory << 20, points=points, visit=visit)
    started = time.monotonic()
    with (work.folder / CONSOLE).open("wb") as sink, capture:
        watch = _Watch(
            work, sink.write, timeout=cell.machine.timeout, report=shared / qemu.REPORT, stood=lambda: capture.stood
        )
        lines = qemu.Lines(monitor=str(capture.monitor_fd), debugger=str(capture.debugger_fd))
        done = run(
            work,
            replace(sandbox, mounts=(*sandbox.mounts, Mount(host=shared, inside=qemu.MEMORY, writable=True))),
            qemu.argv(cell.machine, append=append, lines=lines),
            on_output=watch.hear,
            until=lambda pid: capture.failed or watch.is_over(pid),
            pass_fds=(capture.monitor_fd, capture.debugger_fd),
            # to be pasted: nobody is at the other end of these lines then
            log_as=bwrap_argv(sandbox, qemu.argv(cell.machine, append=append)),
        )
    seconds = time.monotonic() - started
    plain_file(shared, qemu.REPORT).replace(work.folder / REPORT)
    remove_tree(shared)
    memory.write(work.folder / MEMORY, capture.snapshots)
    heard = console.parse((work.folder / CONSOLE).read_text(encoding="utf-8", errors="replace"))
    data = {
        "release": heard.release,
        "allocated": heard.allocated,
        "total": heard.total,
        "tests": len(heard.results),
        "skipped": list(heard.skipped),
        "startup_tests": len(heard.startup),
        "boot_seconds": round(seconds, 1),
        "cpu_seconds": watch.cpu_seconds,
        "stops": [snapshot.name for snapshot in capture.snapshots],
        "capture_seconds": round(capture.stood, 2),
    }
    outcome = _judge(cell, heard, done, stopped=watch.why(), data=data)
    # what a guest had in memory before it failed is audited, unless the next one may do better
    return replace(outcome, blocks=not (outcome.keep and capture.snapshots))


def _visit(image: Image | None, laid_out: StageResult) -> Visit:
    """What is looked at at each stop: all that the audit will look at."""
    found = structs.load(laid_out.path(OFFSETS))

    def visit(name: str, memory: Memory) -> None:
        if image is None:
            return
        # what the guest has instead of records and ops is for the audit to say
        with suppress(Unreadable, BadOutput):
            survey(name, memory, image, found)

    return visit


def _judge(
    cell: Cell, heard: Console, done: Ran, *, stopped: tuple[str, str] | None, data: Mapping[str, object]
) -> Outcome:
    artifacts = {name: name for name in (CONSOLE, MEMORY, REPORT)}
    if trouble := heard.gravest:
        # a stall may be the machine's: it had no time for its guest
        kept = trouble.kind is not Kind.STALL
        told = {**data, "trouble": trouble.as_json()}
        return failed(trouble.kind, (trouble.title, *trouble.lines), artifacts=artifacts, data=told, keep=kept)
    if done.timed_out and stopped:
        kind, why = stopped
        return failed(kind, (why, *heard.tail), artifacts=artifacts, data=data, keep=kind == "flood")
    if heard.release is None and done.returncode != 0:
        raise Infrastructure(f"QEMU did not start: {' '.join(done.lines[-3:])}")
    if done.returncode != 0:
        raise Infrastructure(f"QEMU ended with {done.returncode}: {' '.join(done.lines[-3:])}")
    if not heard.powered_off:
        why = "the machine was reset before the guest had finished"
        return failed("reset", (why, *heard.tail), artifacts=artifacts, data=data)
    if lines := (*_startup(cell, heard), *_tests(heard)):
        return failed("guest-test", lines, artifacts=artifacts, data=data)
    return Outcome(artifacts=artifacts, data=data)


def _startup(cell: Cell, heard: Console) -> tuple[str, ...]:
    """What FTRACE_STARTUP_TEST left out, did not pass, or did although nobody expects it."""
    expected = cell.config.startup_tests
    ran = [title for title, _ in heard.startup]
    lines = [f"startup test {title!r} did not pass" for title, passed in heard.startup if not passed]
    if expected is not None:
        lines += [f"startup test {title!r} did not run" for title in expected if title not in ran]
        lines += [f"startup test {title!r} is not expected by the config" for title in ran if title not in expected]
    return tuple(lines)


def _tests(heard: Console) -> tuple[str, ...]:
    """The guest's own tests that failed or never ran."""
    lines = [f"guest test failed: {what}" for what, ok in heard.results if not ok]
    ended = len(heard.results) + len(heard.skipped)
    if heard.planned != ended:
        lines.append(f"the guest planned {heard.planned} tests and ended {ended}")
    return (*lines, *(heard.notes if lines else ()))


class _Watch:
    """Writes what the machine says, and knows when nothing more is to be waited for."""

    def __init__(
        self,
        work: Work,
        sink: Callable[[bytes], object],
        *,
        timeout: float,
        report: Path,
        stood: Callable[[], float],
    ) -> None:
        """`stood`: for how many seconds the machine has been made to stand still until now."""
        self._work = work
        self._sink = sink
        self._timeout = timeout
        self._report = report
        self._reported = 0
        self._stood, self._stood_before = stood, 0.0
        self._started = self._read = time.monotonic()
        self._time = Stopwatch()
        self._spoke = 0.0
        self._said = 0
        self._panicked: float | None = None
        self._recent = b""

    def hear(self, chunk: bytes) -> None:
        self._sink(chunk)
        self._said += len(chunk)
        self._spoke = self._time.ran
        self._recent = (self._recent + chunk)[-4096:]
        if self._panicked is None and b"Kernel panic - not syncing" in self._recent:
            self._panicked = time.monotonic()
        self._work.progress(chunk.decode(errors="replace").strip().rpartition("\n")[2])

    def is_over(self, pid: int) -> bool:
        """Whether the time of the machine with this process id is up, or what it says shows the end."""
        now = time.monotonic()
        if now - self._read >= READ_SECONDS:
            share = share_of(pid) if is_counted() else Share(ran=now - self._started)
            stood = self._stood()
            if stood == self._stood_before:
                self._time.read(share, now - self._read)
            else:
                self._time.skip(share)
            self._read, self._stood_before = now, stood
            self._reported = self._report.lstat().st_size if self._report.exists() else 0
        panicked = self._panicked is not None and now - self._panicked > LAST_WORDS_SECONDS
        return panicked or self.why() is not None

    def why(self) -> tuple[str, str] | None:
        """The kind of failure and its reason, if the machine had to be stopped."""
        ran, silence = self._time.ran, self._time.ran - self._spoke
        if self._said > LARGEST_CONSOLE:
            return "flood", f"flood: more than {LARGEST_CONSOLE >> 20} MiB on the console"
        if self._reported > LARGEST_REPORT:
            return "flood", f"flood: more than {LARGEST_REPORT >> 20} MiB in the guest's report"
        if self._time.idle > IDLE_SECONDS:
            return "hang", f"hang: idle for {self._time.idle:.0f} s: nothing runs, nothing is said"
        if ran > self._timeout:
            kind = "hang" if silence > SILENCE_SECONDS else "timeout"
            return kind, f"{kind}: not over after {ran:.0f} s of CPU time, silent for the last {silence:.0f} s of it"
        return None

    @property
    def cpu_seconds(self) -> float:
        return round(self._time.ran, 1)
