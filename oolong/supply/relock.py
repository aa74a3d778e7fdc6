"""`./doit lock`: resolve all toolchains and kernel sources again and rewrite their locks."""

from collections.abc import Callable, Iterator

from oolong import lock
from oolong.layout import Layout
from oolong.lock import stand_in
from oolong.model import DebianSource, KernelSource, PatchedSource, Spec
from oolong.supply.apt import some_apt
from oolong.supply.mirror import mirrors


def relock(layout: Layout, spec: Spec) -> Iterator[str]:
    """Resolve everything, then write everything: a failure in between changes no file. Yields lines to show."""
    sources = [base for source in spec.sources if isinstance(base := _base(source), DebianSource)]
    suites = {suite for toolchain in spec.toolchains for suite in toolchain.suites}
    toolchain_locks = []
    # toolchains must not see a backport that a kernel source needs
    with some_apt(mirrors(), sorted(suites)) as apt:
        for toolchain in spec.toolchains:
            toolchain_locks.append(apt.closure(toolchain))
            packages = toolchain_locks[-1].packages
            size = sum(package.size for package in packages)
            yield f"{toolchain.name}: {len(packages)} packages, {size / 1e6:.0f} MB"
    source_locks = []
    for suite in sorted({source.suite for source in sources}):
        with some_apt(mirrors(), [suite]) as apt:
            for source in sources:
                if source.suite == suite:
                    source_locks.append(apt.source(source))
                    yield f"{source.name}: {source_locks[-1].packages[0].version}"
    for lock_of_toolchain in toolchain_locks:
        lock.write_toolchain(layout, lock_of_toolchain)
    if source_locks:
        lock.write_sources(layout, source_locks)


def relock_temporarily(layout: Layout, spec: Spec, *, say: Callable[[str], None]) -> None:
    """Resolve everything anew into build/, for locks that name what no mirror has any more."""

    def write(elsewhere: Layout) -> None:
        for line in relock(elsewhere, spec):
            say(line)

    stand_in(layout, write)


def _base(source: KernelSource) -> KernelSource:
    return source.base if isinstance(source, PatchedSource) else source
