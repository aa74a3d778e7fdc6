"""Keeps the ccache of builds that are not trusted within a budget: they may put into it what they like."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oolong.errors import BadOutput
from oolong.host.budget import CCACHE
from oolong.host.filelock import held_if_free, shared
from oolong.host.files import remove_tree
from oolong.host.layout import Layout
from oolong.host.manifest import check_size
from oolong.printable import printable

LOCK = "ccache-untrusted"


@contextmanager
def within_budget(layout: Layout, *, say: Callable[[str], None], check: Callable[[], None]) -> Iterator[None]:
    """The work of a stage that is not trusted. Afterwards the ccache is removed as a whole where it holds more than any
    ccache does, unless other builds work with it: the last of them sees to it.

    `check` may end the wait for one that removes it, by raising.
    """
    lock = layout.lock(LOCK)
    waiting = f"{layout.untrusted_ccache.name}: waiting for "
    try:
        with shared(lock, waiting=lambda holder: say(waiting + holder), check=check):
            yield
    finally:
        with held_if_free(lock) as ours:
            if ours:
                _remove_what_is_too_large(layout, say)


def _remove_what_is_too_large(layout: Layout, say: Callable[[str], None]) -> None:
    folder = layout.untrusted_ccache
    if not folder.exists():
        return
    try:
        check_size(folder, CCACHE)
    except BadOutput as error:
        remove_tree(folder)
        say(printable(f"{folder.name} is removed, since it is no ccache any more: {error.what}"))
