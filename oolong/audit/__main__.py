"""`python -m oolong.audit [vmlinux.o] vmlinux`: the audit of anyone's kernel, without a pipeline; `--checks` lists all
checks that oolong has.

Exit code 0 if all checks hold, 1 if one does not, 2 if a file is not what it should be, 3 if the output cannot be
written, 141 if nobody reads it.
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from oolong.audit import catalogue, linker_script, object, static_checks
from oolong.audit import image as vmlinux
from oolong.audit.check import Check, CheckStatus
from oolong.audit.linked import Known
from oolong.audit.registry import Entry
from oolong.errors import BadInput, OolongError
from oolong.host import output
from oolong.kbuild import config as kconfig
from oolong.kbuild.log import post_link
from oolong.kbuild.postlink import had_nothing_to_do
from oolong.printable import printable
from oolong.stubs import counting

# of the checks of a kernel, and of the list of all checks
FORMAT = 2


def audit(
    vmlinux_o: Path | None,
    linked: Path,
    *,
    source: Path | None = None,
    config: Path | None = None,
    script: Path | None = None,
    log: Path | None = None,
) -> list[Check]:
    """All checks of an object and its image; `source` is the .S that was linked, `config` the .config, `script` the
    linker script, `log` what make said when it linked. Where one is not there, the checks that need it are skipped, and
    say so."""
    said = _text(log) if log else None
    known = Known(
        config=kconfig.parse(_text(config), where=str(config)) if config else None,
        post_link=None if said is None else frozenset(post_link(said)),
        post_link_idle=said is not None and had_nothing_to_do(said),
    )
    counts = counting.counts_in(_text(source)) if source else None
    placed = linker_script.parse(_text(script), told=str(script)) if script else None
    found = object.read(vmlinux_o) if vmlinux_o else None
    return static_checks.checks(found, vmlinux.read(linked), known, source=counts, script=placed)


def described(checks: Iterable[Check]) -> str:
    """Checks as lines for the screen."""
    return "".join(f"{check.status:5} {check.name:28} {printable(check.evidence)}\n" for check in checks)


def listed(entries: Iterable[Entry]) -> str:
    """What checks there are, as lines for the screen: the name, the stages that decide it, and what it is about."""
    return "".join(f"{entry.name:28} {' '.join(entry.stages):22} {entry.title}\n" for entry in entries)


def main(argv: Sequence[str]) -> int:
    """The program; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m oolong.audit",
        usage="%(prog)s [options] [vmlinux.o] vmlinux",
        description="Check every ftrace patch site and every stub of a ppc64 kernel, before and after its final link.",
        epilog="Each check is explained in docs/audit.md. Exit code: 0 all hold, 1 a finding, 2 bad input, "
        "3 the output cannot be written.",
    )
    parser.add_argument(
        "kernel",
        nargs="*",
        type=Path,
        help="vmlinux.o, the kernel before its final link, if it is there, and vmlinux, with its symbol table",
    )
    parser.add_argument("--checks", action="store_true", help="list all checks, these and those of a booted kernel")
    parser.add_argument("--source", type=Path, metavar="vmlinux.arch.S", help="the .S with the stubs that was linked")
    parser.add_argument("--config", type=Path, metavar=".config", help="the kernel's configuration")
    parser.add_argument(
        "--linker-script", type=Path, metavar="vmlinux.lds", help="arch/powerpc/kernel/vmlinux.lds of the object tree"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="what make said in a whole link, without V=1")
    parser.add_argument("--json", action="store_true", help="write the checks to stdout as JSON, all findings included")
    options = parser.parse_args(argv)
    if not options.checks and not 1 <= len(options.kernel) <= 2:
        parser.error("one kernel is audited: [vmlinux.o] vmlinux")
    *before, linked = options.kernel or [Path()]
    if not before and (options.source or options.linker_script):
        parser.error("--source and --linker-script say something of vmlinux.o, which is not given")
    try:
        if options.checks:
            output.write(_listed(as_json=options.json))
            return 0
        done = audit(
            before[0] if before else None,
            linked,
            source=options.source,
            config=options.config,
            script=options.linker_script,
            log=options.log,
        )
        output.write(_told(done, as_json=options.json))
    except OolongError as error:
        print(f"oolong.audit: {error}", file=sys.stderr)
        return error.exit_code
    except output.ReaderGone:
        return output.READER_GONE
    return int(any(check.status is CheckStatus.FAIL for check in done))


def _told(done: Sequence[Check], *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"format": FORMAT, "checks": [check.as_json() for check in done]}, indent=2) + "\n"
    held, wrong, left = (
        sum(check.status == status for check in done)
        for status in (CheckStatus.PASS, CheckStatus.FAIL, CheckStatus.SKIP)
    )
    return described(done) + f"{held} hold, {wrong} do not, {left} skipped\n"


def _listed(*, as_json: bool) -> str:
    every = catalogue.entries().values()
    if as_json:
        told = {"format": FORMAT, "checks": [catalogue.as_json(entry) for entry in every]}
        return json.dumps(told, indent=2) + "\n"
    return listed(every)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from error


if __name__ == "__main__":
    # two files are read, then the process ends: see oolong.stubs
    gc.disable()
    code = main(sys.argv[1:])
    os._exit(code)
