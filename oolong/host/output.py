"""What a program says on its standard output: written at once, so that what cannot be written is told."""

import os
import sys
from contextlib import suppress

from oolong.errors import Infrastructure

# what a shell says of a program that SIGPIPE ended
READER_GONE = 141


class ReaderGone(BaseException):
    """Whoever read our output closed it; no Exception, since doit would print a traceback of one."""


def write(text: str) -> None:
    """Infrastructure where it cannot be written, ReaderGone where nobody reads it; nothing where there is none."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard()
        raise ReaderGone from None
    except OSError as error:
        discard()
        raise Infrastructure(error.strerror or str(error), where="standard output") from error


def discard() -> None:
    """What is still buffered goes nowhere, and so raises nothing at the end of the process."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
