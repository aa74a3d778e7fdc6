"""What names resolve to now: `./doit lock`, and temporary locks where a mirror has dropped what a lock names."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from oolong.errors import BadInput, did_you_mean
from oolong.host.files import write_json
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.spec import lock
from oolong.spec.lock import Lock, stand_in
from oolong.spec.model import DebianSource, GitSource, Spec, Toolchain, base_of
from oolong.supply import repository
from oolong.supply.apt import some_apt
from oolong.supply.mirror import mirrors

Say = Callable[[str], None]
# beside temporary locks: the paths that no mirror had when they were made
ABSENT = "absent.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Locks:
    """The locks of toolchains and of sources, by name."""

    toolchains: dict[str, Lock] = field(default_factory=dict)
    sources: dict[str, Lock] = field(default_factory=dict)

    def write(self, layout: Layout, spec: Spec) -> None:
        for one in self.toolchains.values():
            lock.write_toolchain(layout, one)
        if self.sources:
            known = [source.name for source in spec.sources]
            lock.write_sources(layout, list(self.sources.values()), known=known)


def relock(layout: Layout, spec: Spec, *, only: Collection[str] = (), say: Say, scope: Scope) -> None:
    """Resolve everything, or what `only` names, then write it: a failure in between changes no file."""
    toolchains, sources = _locked_toolchains(spec), _locked_sources(spec)
    names = [one.name for one in (*toolchains, *sources)]
    for name in only:
        if name not in names:
            raise BadInput(f"nothing to lock has the name {name!r}", where="only=", hint=did_you_mean(name, names))
    chosen = set(only or names)
    _resolve(
        [toolchain for toolchain in toolchains if toolchain.name in chosen],
        [source for source in sources if source.name in chosen],
        say=say,
        scope=scope,
    ).write(layout, spec)


def relock_temporarily(
    layout: Layout, spec: Spec, absent: Collection[str], *, say: Say, scope: Scope
) -> frozenset[str]:
    """Resolve anew, into build/, what names a package below a path of `absent`; returns the names of what that was.

    A compiler shares its root file system with the build machine's tools. Where their new and old locks do not go
    together, all of them are resolved anew.
    """
    now = in_force(layout, spec)
    toolchains = [one for one in _locked_toolchains(spec) if _names(now.toolchains[one.name], absent)]
    sources = [one for one in _locked_sources(spec) if _names(now.sources[one.name], absent)]
    fresh = _resolve(toolchains, sources, say=say, scope=scope)
    if not _fit_together(spec, {**now.toolchains, **fresh.toolchains}):
        sharing = [one for one in _locked_toolchains(spec) if one.family != "emulator"]
        fresh = _resolve([*sharing, *(one for one in toolchains if one not in sharing)], sources, say=say, scope=scope)
    merged = Locks(
        toolchains={**now.toolchains, **fresh.toolchains},
        sources={**now.sources, **fresh.sources},
    )
    stand_in(layout, lambda elsewhere: merged.write(elsewhere, spec))
    write_json(layout.unlocked / ABSENT, sorted(absent))
    return frozenset((*fresh.toolchains, *fresh.sources))


def _resolve(toolchains: list[Toolchain], sources: list[DebianSource | GitSource], *, say: Say, scope: Scope) -> Locks:
    found = Locks()
    # one suite's packages must not come from another's: a toolchain from a backport that a kernel source needs
    for suites in sorted({toolchain.suites for toolchain in toolchains}):
        with some_apt(mirrors(), suites, scope=scope) as apt:
            for toolchain in (one for one in toolchains if one.suites == suites):
                found.toolchains[toolchain.name] = closure = apt.closure(toolchain)
                size = sum(package.size for package in closure.packages)
                say(f"{toolchain.name}: {len(closure.packages)} packages, {size / 1e6:.0f} MB")
    debian = [source for source in sources if isinstance(source, DebianSource)]
    for suite in sorted({source.suite for source in debian}):
        with some_apt(mirrors(), [suite], scope=scope) as apt:
            for package in (one for one in debian if one.suite == suite):
                found.sources[package.name] = apt.source(package)
                say(f"{package.name}: {found.sources[package.name].packages[0].version}")
    for source in sources:
        if isinstance(source, GitSource):
            commit = repository.resolve(source.url, source.ref, scope=scope)
            found.sources[source.name] = Lock(name=source.name, asked=lock.asked_by_source(source), commit=commit)
            say(f"{source.name}: {commit}")
    return found


def _locked_toolchains(spec: Spec) -> list[Toolchain]:
    return [toolchain for toolchain in spec.toolchains if toolchain.packages]


def _locked_sources(spec: Spec) -> list[DebianSource | GitSource]:
    return [
        source
        for source in map(base_of, spec.sources)
        if isinstance(source, DebianSource) or (isinstance(source, GitSource) and not source.is_pinned)
    ]


def in_force(layout: Layout, spec: Spec) -> Locks:
    """The locks as a layout has them."""
    return Locks(
        toolchains={one.name: lock.read_toolchain(layout, one) for one in _locked_toolchains(spec)},
        sources={one.name: lock.read_source(layout, one) for one in _locked_sources(spec)},
    )


def _names(one: Lock, absent: Collection[str]) -> bool:
    return any(package.path in absent for package in one.packages)


def _fit_together(spec: Spec, locks: dict[str, Lock]) -> bool:
    """Whether every compiler's packages can lie in one root file system with the build machine's tools."""
    host = next(one for one in spec.toolchains if one.family == "host")
    for toolchain in _locked_toolchains(spec):
        if toolchain.family not in ("emulator", "host"):
            try:
                lock.merge([locks[host.name], locks[toolchain.name]])
            except BadInput:
                return False
    return True
