"""What a build says of Makefile.postlink where that has no rule for the name that it is called with (pure).

Linux 6.17.4 and later link vmlinux.unstripped, and arch/powerpc/Makefile.postlink has a rule for vmlinux alone.
"""

import re

NOTHING_TO_DO = re.compile(r"^make(?:\[\d+\])?: Nothing to be done for .vmlinux\.unstripped.\.\s*$", re.MULTILINE)


def had_nothing_to_do(said: str) -> bool:
    """Whether make says that nothing is to be done for vmlinux.unstripped."""
    return NOTHING_TO_DO.search(said) is not None
