"""`python -m oolong.stubs vmlinux.o`: the stub pass on anyone's kernel, without a pipeline."""

import argparse
import gc
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from oolong.errors import BadInput, OolongError
from oolong.host import output
from oolong.host.files import write_atomically
from oolong.stubs import counting


def main(argv: Sequence[str]) -> int:
    """The program `python -m oolong.stubs`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m oolong.stubs",
        description="Count the ftrace patch sites of vmlinux.o and write the .S that reserves their stubs.",
    )
    parser.add_argument("vmlinux_o", metavar="vmlinux.o", type=Path, help="the kernel before its final link")
    parser.add_argument(
        "--reserve", type=_count, required=True, help="CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE of that kernel"
    )
    parser.add_argument("-o", "--output", type=Path, help="where to write the .S; without it and --json: stdout")
    parser.add_argument("--json", action="store_true", help="write the counts to stdout as JSON")
    options = parser.parse_args(argv)
    try:
        sites = counting.read_sites(options.vmlinux_o)
        planned = counting.plan(sites, options.reserve)
        if options.output:
            _write(options.output, counting.render(planned, counting.TEMPLATE.read_text()))
        elif not options.json:
            output.write(counting.render(planned, counting.TEMPLATE.read_text()))
        if options.json:
            output.write(json.dumps(counting.document(sites, planned), indent=2) + "\n")
    except OolongError as error:
        print(f"oolong.stubs: {error}", file=sys.stderr)
        return error.exit_code
    except output.ReaderGone:
        return output.READER_GONE
    return 0


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise BadInput(str(error.strerror), where=str(path)) from error


def _count(text: str) -> int:
    if not counting.NUMBER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of stubs")
    return int(text)


if __name__ == "__main__":
    # One file is read, then the process ends. Looking for cycles, and taking modules apart at the end, would cost a
    # fifth of the whole time and free nothing that the end does not free.
    gc.disable()
    code = main(sys.argv[1:])
    os._exit(code)
