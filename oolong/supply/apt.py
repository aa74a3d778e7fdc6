"""Resolves packages with apt in a private root: its own sources, status and lists, the suite's signatures checked.

Nothing of the host's packages or settings counts but the way to reach the network (Acquire::http::Proxy and the
like), and no root is needed.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from oolong.errors import BadInput, Infrastructure
from oolong.host import process
from oolong.host.process import Scope
from oolong.spec.lock import Lock, asked_by_source, asked_by_toolchain
from oolong.spec.model import DebianSource, Package, Toolchain
from oolong.supply.mirror import is_snapshot

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NETWORK_SETTING = re.compile(r"Acquire::(?:https?|socks|Retries|Check-|ForceIPv|PrepareTimeout)")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
PRINTED = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Apt:
    """An apt that knows some suites of one mirror; `root` is its folder, `mirror` the archive's base URI, and its
    programs run in `scope`."""

    root: Path
    mirror: str
    architecture: str
    scope: Scope

    def closure(self, toolchain: Toolchain) -> Lock:
        """The packages of a toolchain with all that they depend on, less what it leaves out."""
        self._check_known(toolchain.packages)
        printed = self._get("install", "--no-install-recommends", *toolchain.packages)
        packages = parse_uris(printed, self.mirror)
        names = {package.name for package in packages}
        if unknown := sorted(set(toolchain.without) - names):
            raise BadInput(
                f"`without` names what is not in the closure: {', '.join(unknown)}",
                where=f"toolchains/{toolchain.name}.yaml",
            )
        kept = tuple(package for package in packages if package.name not in toolchain.without)
        return Lock(name=toolchain.name, asked=asked_by_toolchain(toolchain), packages=kept)

    def source(self, source: DebianSource) -> Lock:
        """The one package that holds a kernel source."""
        self._check_known((source.package,))
        packages = parse_uris(self._get("download", f"{source.package}/{source.suite}"), self.mirror)
        return Lock(name=source.name, asked=asked_by_source(source), packages=packages)

    def update(self) -> None:
        """Fetch the lists and check their signatures."""
        output = self._apt("apt-get", "update").decode(errors="replace")
        if "NO_PUBKEY" in output or "not signed" in output:
            raise Infrastructure(
                f"the suite's signature cannot be checked with {KEYRING}: {output[-600:].strip()}",
                hint="install a newer debian-archive-keyring, which holds the suite's key",
            )
        if re.search(r"^(?:W|E|Err:\d+):? .*(?:Failed|failed|404)", output, re.MULTILINE):
            raise Infrastructure(f"the lists could not be fetched: {output[-600:].strip()}")

    def _check_known(self, packages: Sequence[str]) -> None:
        known = self._apt("apt-cache", "pkgnames").decode().split()
        for package in sorted(set(packages) - set(known)):
            raise BadInput(f"no suite has a package {package!r}", hint="check its name and the suites")

    def _get(self, *words: str) -> str:
        options = ["-qq", "--print-uris", "-o", "Acquire::ForceHash=SHA256"]
        return self._apt("apt-get", *options, *words).decode(errors="replace")

    def _apt(self, *argv: str) -> bytes:
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        network = {name: os.environ[name] for name in PROXIES if name in os.environ}
        environment = {"APT_CONFIG": str(self.root / "apt.conf"), "PATH": path, "LC_ALL": "C", **network}
        return process.check(process.dying_with_parent(argv), scope=self.scope, env=environment).output


@contextmanager
def private_apt(mirror: str, suites: Sequence[str], *, scope: Scope) -> Iterator[Apt]:
    """An updated Apt for some suites; its folder is gone afterwards."""
    if not KEYRING.exists():
        raise Infrastructure(f"{KEYRING} is missing", hint="install debian-archive-keyring")
    architecture = process.check(["dpkg", "--print-architecture"]).output.decode().strip()
    with tempfile.TemporaryDirectory(prefix="oolong-apt-") as folder:
        root = Path(folder)
        # apt reads as its own user when root starts it
        root.chmod(0o755)
        for needed in ("etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial"):
            (root / needed).mkdir(parents=True)
        (root / "status").touch()
        # a snapshot's lists are signed like any other, and say that they have run out
        lasting = " check-valid-until=no" if is_snapshot(mirror) else ""
        options = f"[arch={architecture} signed-by={KEYRING}{lasting}]"
        (root / "etc" / "sources.list").write_text(
            "".join(f"deb {options} {mirror} {suite} main\n" for suite in suites)
        )
        (root / "apt.conf").write_text(_configuration(root, architecture))
        apt = Apt(root=root, mirror=mirror, architecture=architecture, scope=scope)
        apt.update()
        yield apt


@contextmanager
def some_apt(mirrors: Sequence[str], suites: Sequence[str], *, scope: Scope) -> Iterator[Apt]:
    """An updated Apt on the first of the mirrors that has the suites; the trouble with the last one, if none has."""
    with ExitStack() as stack:
        for mirror in mirrors[:-1]:
            try:
                apt = stack.enter_context(private_apt(mirror, suites, scope=scope))
            except Infrastructure:
                continue
            break
        else:
            apt = stack.enter_context(private_apt(mirrors[-1], suites, scope=scope))
        yield apt


def parse_uris(printed: str, mirror: str) -> tuple[Package, ...]:
    """What `--print-uris` wrote → packages, with paths relative to the mirror.

    A file is called NAME_VERSION_ARCH.deb, with the colon of an epoch as %3a.
    """
    packages = []
    for line in printed.splitlines():
        match = PRINTED.match(line)
        if not match:
            continue
        name, version, arch = unquote(match["file"]).removesuffix(".deb").split("_")
        path = match["uri"].removeprefix(mirror).lstrip("/")
        if path == match["uri"]:
            raise Infrastructure(f"apt answered with a package outside the mirror: {match['uri']}")
        packages.append(
            Package(
                name=name,
                version=version,
                arch=arch,
                path=unquote(path),
                size=int(match["size"]),
                sha256=match["sha256"],
            )
        )
    if not packages:
        raise Infrastructure(f"apt named no package: {printed[-600:].strip()}")
    return tuple(packages)


def _configuration(root: Path, architecture: str) -> str:
    host = process.check(["apt-config", "dump"]).output.decode(errors="replace")
    network = [line for line in host.splitlines() if NETWORK_SETTING.match(line)]
    ours = [
        f'Dir "{root}";',
        'Dir::Etc "etc";',
        'Dir::Etc::Parts "apt.conf.d";',
        'Dir::State "state";',
        f'Dir::State::status "{root}/status";',
        'Dir::Cache "cache";',
        f'APT::Architecture "{architecture}";',
        f'APT::Architectures {{"{architecture}";}};',
        'APT::Get::Always-Include-Phased-Updates "true";',
        'Acquire::Languages "none";',
    ]
    return "\n".join([*network, *ours]) + "\n"
