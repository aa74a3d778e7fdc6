"""What the stage `tree` tries commands in: a copy of the object tree, folders of their own, and an objdump that tells.

All that lies there for commands is put there before the first of them runs; what they leave is read as plain files.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from oolong.audit.tree_checks import EMPTY, TOOLS, Tried
from oolong.engine.stage import Work
from oolong.host.files import text_of
from oolong.host.sandbox import BUILD, SRC, Ran, Sandbox, View, sandbox_of
from oolong.kbuild import config as kconfig
from oolong.kbuild import make as kbuild
from oolong.kbuild import rules
from oolong.spec.model import Cell
from oolong.stages.building import build_sandbox, build_view, copy_tree
from oolong.stages.limited import run
from oolong.stages.outputs import ROOT, VMLINUX_O
from oolong.stubs.areas import INITTEXT, TEXT_END

AUTO_CONF = "include/config/auto.conf"
SCRIPT = f"{SRC}/{kbuild.STUB_SCRIPT}"
VIEW = replace(build_view(kbuild.TELLING), writable=(BUILD, kbuild.TRIAL))
# with an edited script over the tree's own
EDITED = replace(VIEW, read_only=(*VIEW.read_only, SCRIPT))
EDIT = "\n# edited\n"
# the trials: without variables of make, beside a configuration that lies, without the value of CONFIG_64BIT
ALONE, LYING, EMPTIED = "alone", "lying", "emptied"
SAYS_32_BITS = "CONFIG_PPC32=y\n"
NARROW = "CONFIG_FTRACE=y\nCONFIG_FUNCTION_TRACER=y\nCONFIG_DYNAMIC_FTRACE=y\n"
# for each area, where the only function of an object lies that needs no stub there
ELSEWHERE = {TEXT_END: ".init.text", INITTEXT: ".text"}
SITE, ONE_SITE = (
    "site.S",
    """\
	.section {section}, "ax"
.Lsite:	.long 0x60000000
	.section __patchable_function_entries, "awo", %progbits, {section}
	.balign 8
	.8byte .Lsite
""",
)
OBJDUMP = """\
#!/bin/sh
echo "$@" >> {calls}
exec {program} "$@"
"""
CALLS = "calls"
# the kernel's own takes 100 KiB
LARGEST_DATABASE = 16 << 20

Stamp = tuple[int, int] | None


def inside(folder: str) -> str:
    """Where the sandbox has the folder of a trial."""
    return f"{kbuild.TRIAL}/{folder}"


def assembled(cell: Cell, area: str) -> tuple[str, ...]:
    """What makes the object that needs no stub in an area."""
    return kbuild.assemble_alone(cell, f"{inside(area)}/{SITE}", f"{inside(area)}/{VMLINUX_O}")


class Trial:
    """Runs commands on the copy, and says what they did; names of files are below the object tree."""

    def __init__(self, cell: Cell, work: Work) -> None:
        self.cell, self.work = cell, work
        self._source = work.path("source")
        self._build, self._folder = work.folder / "tree", work.folder / "trial"
        self._telling, self._edited = work.folder / "telling", work.folder / "edited.sh"
        copy_tree(work, "compile", self._build)
        self._prepare()

    def _prepare(self) -> None:
        for name in (ALONE, LYING, EMPTIED, *EMPTY):
            for folder in (TOOLS, Path(AUTO_CONF).parent):
                (self._folder / name / folder).mkdir(parents=True)
        for name in (ALONE, LYING, EMPTIED):
            (self._folder / name / VMLINUX_O).symlink_to(f"{BUILD}/{VMLINUX_O}")
        for name in (ALONE, EMPTIED, *EMPTY):
            (self._folder / name / AUTO_CONF).symlink_to(f"{BUILD}/{AUTO_CONF}")
        (self._folder / LYING / AUTO_CONF).write_text(SAYS_32_BITS)
        for area in EMPTY:
            (self._folder / area / SITE).write_text(ONE_SITE.format(section=ELSEWHERE[area]))
        (self._folder / Path(kbuild.NARROW_REQUEST).name).write_text(NARROW)
        (self._folder / CALLS).touch()
        self._telling.mkdir()
        program = kbuild.tool(self.cell, kbuild.binutil(self.cell, "objdump"))
        telling = OBJDUMP.format(calls=inside(CALLS), program=program)
        _write_program(self._telling / Path(kbuild.OBJDUMP).name, telling)
        _write_program(self._edited, text_of(self._source, kbuild.STUB_SCRIPT) + EDIT)

    @property
    def kconfig(self) -> str:
        """The text of arch/powerpc/Kconfig."""
        return text_of(self._source, kbuild.KCONFIG)

    @property
    def config(self) -> Mapping[str, str]:
        """The configuration of the copy, as it stands."""
        return kconfig.parse(text_of(self._build, ".config"), where=".config")

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of make that a script might use."""
        words = kbuild.make(self.cell)
        given = dict(word.split("=", maxsplit=1) for word in words if "=" in word)
        return {"OBJDUMP": kbuild.OBJDUMP, "CROSS_COMPILE": given.get("CROSS_COMPILE", "")}

    @property
    def calls(self) -> int:
        """How often the objdump was called."""
        return text_of(self._folder, CALLS).count("\n")

    def run(self, argv: Sequence[str], *, edited: bool = False, on_line: Callable[[str], None] | None = None) -> Ran:
        """A command of the build; with the `edited` script, new as of now, in the place of the tree's own."""
        if edited:
            os.utime(self._edited)
        return self._run(self._building(EDITED if edited else VIEW), argv, on_line=on_line)

    def alone(self, name: str, generated: str, command: str, variables: Mapping[str, str]) -> Tried:
        """A command for the .S, in the folder of a trial, with no variables of make but these."""
        before = self.calls
        view = replace(VIEW, env=variables, chdir=inside(name))
        sandbox = sandbox_of(view, rootfs=self.work.input("rootfs").path(ROOT), hosts=self._hosts(view))
        done = self._run(sandbox, ("sh", "-c", command))
        return Tried(
            ended=done.returncode,
            source=_text(self._folder / name, generated),
            called=self.calls > before,
            said=done.last_words,
        )

    def on_one_site(self, area: str, generated: str, command: str) -> Tried:
        """The command on an object that needs no stub in an area, and what the assembler says of the .S."""
        done = self.run(assembled(self.cell, area))
        if not done.ok:
            return Tried(ended=done.returncode, source=None, said=done.last_words)
        tried = self.alone(area, generated, command, self.variables)
        if tried.ended or tried.source is None:
            return tried
        plain = f"{inside(area)}/stubs.s"
        try:
            saved = self.saved(object_of(generated))
            preprocess = rules.preprocessing(saved, f"{inside(area)}/{generated}", plain)
        except ValueError:
            return replace(tried, said=f"the build saved no command of {object_of(generated)}")
        building = replace(self._building(VIEW), chdir=BUILD)
        for argv in (preprocess, kbuild.look_for_warnings(plain)):
            done = self._run(building, argv)
            if not done.ok:
                return replace(tried, said=done.last_words)
        return replace(tried, said="")

    def link_needs(self) -> tuple[str, ...]:
        """The files of TOOLS that the link needs, as the copy is configured."""
        said = bytearray()

        def hear(chunk: bytes) -> None:
            said.extend(chunk[: LARGEST_DATABASE - len(said)])

        self._run(self._building(VIEW), kbuild.link_rules(), on_output=hear)
        return rules.needed(said.decode(errors="replace"), TOOLS)

    def built(self, name: str) -> str | None:
        """The text of a file of the copy; None if it is not there."""
        return _text(self._build, name)

    def saved(self, target: str) -> str:
        """The command that the build saved for a target; empty if there is none."""
        return rules.saved_command(self.built(rules.command_file(target)) or "", target)

    def stands(self, name: str) -> bool:
        return (self._build / name).exists()

    def stamps(self, names: Iterable[str]) -> dict[str, Stamp]:
        """What changes where a file is made again."""
        return {name: self._stamp(name) for name in names}

    def made_since(self, before: Mapping[str, Stamp]) -> list[str]:
        """The files that were made again."""
        return [name for name, stamp in before.items() if stamp != self._stamp(name)]

    def _stamp(self, name: str) -> Stamp:
        if not self.stands(name):
            return None
        status = (self._build / name).lstat()
        return status.st_mtime_ns, status.st_ino

    def _run(
        self,
        sandbox: Sandbox,
        argv: Sequence[str],
        *,
        on_line: Callable[[str], None] | None = None,
        on_output: Callable[[bytes], object] | None = None,
    ) -> Ran:
        limit = self.cell.build_timeout
        return run(self.work, sandbox, argv, timeout=limit, on_line=on_line, on_output=on_output)

    def _building(self, view: View) -> Sandbox:
        return build_sandbox(self.work, view, self._hosts(view))

    def _hosts(self, view: View) -> dict[str, Path]:
        every = {
            SRC: self._source,
            kbuild.TELLING: self._telling,
            BUILD: self._build,
            kbuild.TRIAL: self._folder,
            SCRIPT: self._edited,
        }
        return {place: every[place] for place in (*view.read_only, *view.writable)}


def object_of(generated: str) -> str:
    """The object of a generated .S."""
    return f"{generated.removesuffix('.S')}.o"


def _text(folder: Path, name: str) -> str | None:
    return text_of(folder, name) if (folder / name).exists() else None


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
