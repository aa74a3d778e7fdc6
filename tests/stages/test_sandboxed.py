"""What of a failed command's lines is the world's fault, and what only has the same words."""

import pytest

from oolong.stages.sandboxed import is_of_the_world


@pytest.mark.parametrize(
    "line",
    [
        "/usr/bin/ld: final link failed: No space left on device",
        "fatal error: error writing to /tmp/cc1.s: No space left on device",
        "OSError: [Errno 28] No space left on device: 'x'",
        "error: unable to open output file 'x.o': 'No space left on device'",
        "cc1: out of memory: Cannot allocate memory",
        "tar: x: Cannot write: Disk quota exceeded",
        "gcc: fatal error: Killed signal terminated program cc1",
        "make[1]: *** [Makefile:1: b.o] Killed",
        "make[2]: *** [scripts/Makefile.build:1: a.o] Error 137",
        "collect2: fatal error: ld terminated with signal 9 [Killed]",
    ],
)
def test_want_of_disk_or_memory_is_the_worlds_fault(line: str) -> None:
    assert is_of_the_world(line)


@pytest.mark.parametrize(
    "line",
    [
        "   28 | #define ENOSPC          28      /* No space left on device */",
        '  301 |         pr_err("disk: No space left on device");',
        "      |         // make: Cannot allocate memory",
        "note: expanded from macro 'ENOSPC' /* No space left on device */",
        "make[1]: *** [Makefile:1: b.o] Error 1",
    ],
)
def test_the_same_words_in_a_source_are_not(line: str) -> None:
    assert not is_of_the_world(line)
