"""The stage `boot`: the kernel in QEMU, what its console says about it, and its memory at agreed points."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from oolong.audit import console_trace, post_mortem, probes
from oolong.audit.console_trace import Place
from oolong.audit.image import Image, image_of
from oolong.audit.survey import Survey
from oolong.binary import structs
from oolong.binary.elf import opened
from oolong.binary.structs import Offsets
from oolong.engine.code_digest import code_digest
from oolong.engine.stage import Input, Outcome, Recipe, Stage, StageStatus, Work, failed
from oolong.errors import BadInput, BadOutput, Infrastructure, Kind
from oolong.host.digest import digest_of
from oolong.host.files import text_of
from oolong.host.sandbox import View
from oolong.kbuild import config as kconfig
from oolong.machine import console, guest, memory, qemu, run
from oolong.machine.capture import Accuse, Visit, nobody, points_of
from oolong.machine.console import Console
from oolong.machine.memory import Memory, Snapshot, Unreadable
from oolong.machine.run import Ended
from oolong.spec.model import Cell
from oolong.stages import sandboxed
from oolong.stages.outputs import CONFIG, CONSOLE, INITRAMFS, MEMORY, OFFSETS, RELEASE, REPORT, ROOT, VMLINUX

# it becomes a word of the kernel's command line
LARGEST_RELEASE = 4096
VIEW = View(read_only=(qemu.KERNEL, qemu.INITRAMFS), writable=(qemu.MEMORY,))


def stage(cell: Cell, *, emulator: Stage, compiled: Stage, linked: Stage, laid_out: Stage, initramfs: Stage) -> Stage:
    expected = cell.config.startup_tests
    append = _append(cell, release="RELEASE", kprobes="KPROBES", probes=("PROBES",))
    recipe = Recipe(
        stage="boot",
        argv=(qemu.argv(cell.machine, append=append, lines=qemu.Lines(monitor="MONITOR", debugger="DEBUGGER")),),
        sandbox=VIEW.as_json(),
        inputs={"expected": digest_of(None if expected is None else list(expected))},
        code=code_digest(__name__),
    )
    inputs = (
        Input(role="emulator", stage=emulator, output=ROOT),
        Input(role="release", stage=compiled, output=RELEASE),
        Input(role="config", stage=compiled, output=CONFIG),
        Input(role="vmlinux", stage=linked, output=VMLINUX),
        Input(role="offsets", stage=laid_out, output=OFFSETS),
        Input(role="initramfs", stage=initramfs, output=INITRAMFS),
    )
    return Stage(subject=cell.name, base=recipe, inputs=inputs, work=partial(_work, cell))


def _append(cell: Cell, *, release: str, kprobes: str, probes: Sequence[str]) -> str:
    arguments = guest.arguments(release=release, endian=cell.endian.value, kprobes=kprobes, probes=probes)
    return f"{cell.machine.cmdline} {arguments}"


def _work(cell: Cell, work: Work) -> Outcome:
    told = work.path("release")
    release = text_of(told.parent, told.name, most=LARGEST_RELEASE).strip()
    config = kconfig.read(work.path("config"))
    kprobes = "ftrace" if config.get("KPROBES_ON_FTRACE") == "y" else "trap"
    kernel = work.path("vmlinux")
    with opened(kernel) as vmlinux:
        points = points_of(vmlinux)
        try:
            # of a kernel that has no function to stop at nothing is looked at
            image = image_of(vmlinux, "vmlinux") if points else None
        except BadInput:
            image = None  # the audit says what is wrong with it
    laid_out = structs.load(work.path("offsets"))
    asked = probes.probes(image) if image and kprobes == "ftrace" else ()
    append = _append(cell, release=release, kprobes=kprobes, probes=asked)
    ended = run.run(
        cell.machine,
        kernel,
        work.path("initramfs"),
        append=append,
        emulator=work.path("emulator"),
        folder=work.folder,
        inside=partial(sandboxed.run, work),
        progress=work.progress,
        look=run.Look(points=points, visit=_visit(image, laid_out), accuse=_accuse(image, laid_out)),
    )
    memory.write(work.folder / MEMORY, ended.snapshots)
    heard = console.parse(ended.console)
    data = {
        "release": heard.release,
        "allocated": heard.allocated,
        "total": heard.total,
        "tests": len(heard.results),
        "skipped": list(heard.skipped),
        "startup_tests": len(heard.startup),
        "boot_seconds": ended.boot_seconds,
        "cpu_seconds": ended.cpu_seconds,
        "stops": [snapshot.name for snapshot in ended.snapshots],
        "capture_seconds": ended.capture_seconds,
    }
    outcome = _judge(cell, heard, ended, data=data)
    if outcome.status is StageStatus.OK:
        return outcome
    # what a guest had in memory before it failed, and in the end, is audited
    found = _places(image, laid_out, ended) if image else ()
    title, *lines = outcome.lines
    return replace(
        outcome,
        lines=(title, *ended.accused, *(place.line for place in found), *lines),
        data={**outcome.data, "served": sorted({place.serves for place in found if place.serves})},
        blocks=not ended.snapshots,
    )


def _visit(image: Image | None, laid_out: Offsets) -> Visit:
    """What is looked at at each stop: all that the audit will look at."""

    def visit(name: str, memory: Memory) -> None:
        if image is None:
            return
        # what the guest has instead of records and ops is for the audit to say
        with suppress(Unreadable, BadOutput):
            post_mortem.survey_at(name, memory, image, laid_out)

    return visit


def _accuse(image: Image | None, laid_out: Offsets) -> Accuse:
    """What is wrong with the memory of a guest that does not get on."""
    return partial(post_mortem.accusations, image=image, offsets=laid_out) if image else nobody


def _places(image: Image, laid_out: Offsets, ended: Ended) -> tuple[Place, ...]:
    """Where the addresses lie that a guest said when it died, and where its CPUs were."""
    seen = next((found for one in reversed(ended.snapshots) if (found := _survey(one, image, laid_out))), None)
    return console_trace.places(ended.console, ended.registers, image, seen)


def _survey(snapshot: Snapshot, image: Image, laid_out: Offsets) -> Survey | None:
    with suppress(Unreadable, BadOutput):
        return post_mortem.survey_at(snapshot.name, snapshot, image, laid_out)
    return None


def _judge(cell: Cell, heard: Console, ended: Ended, *, data: Mapping[str, object]) -> Outcome:
    done = ended.ran
    artifacts = {name: name for name in (CONSOLE, MEMORY, REPORT)}
    if trouble := heard.gravest:
        # a stall may be the machine's, which had no time for its guest, unless the guest's memory says why
        kept = trouble.kind is not Kind.STALL or bool(ended.accused)
        told = {**data, "trouble": trouble.as_json()}
        return failed(trouble.kind, (trouble.title, *trouble.lines), artifacts=artifacts, data=told, keep=kept)
    if ended.stopped:
        kind, why = ended.stopped
        return failed(
            kind, (why, *heard.tail), artifacts=artifacts, data=data, keep=kind is Kind.FLOOD or bool(ended.accused)
        )
    if heard.release is None and done.returncode != 0:
        raise Infrastructure(f"QEMU did not start: {' '.join(done.lines[-3:])}")
    if done.returncode != 0:
        raise Infrastructure(f"QEMU ended with {done.returncode}: {' '.join(done.lines[-3:])}")
    if not heard.powered_off:
        why = "the machine was reset before the guest had finished"
        return failed(Kind.RESET, (why, *heard.tail), artifacts=artifacts, data=data)
    if lines := (*_startup(cell, heard), *_tests(heard)):
        return failed(Kind.GUEST_TEST, lines, artifacts=artifacts, data=data)
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
    lines += [f"the guest {problem}" for problem in heard.problems]
    return (*lines, *(heard.notes if lines else ()))
