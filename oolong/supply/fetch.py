"""Downloads what locks and archives' digests name: in parallel, resumed, and verified before it is moved into place.

No index is needed, since a lock has the path below the mirror, the size and the SHA-256. What lies at
`layout.download(sha256)` was verified when it came, and is verified again each time that it is used; what is still
coming lies beside it as SHA256.part. A run from a bundle takes everything from there and asks nobody.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from oolong.errors import Infrastructure, Missing
from oolong.host.digest import file_sha256
from oolong.host.filelock import held
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.host.progress import Progress
from oolong.spec.model import Package, Tarball
from oolong.supply import bundle

if TYPE_CHECKING:
    import requests

AT_ONCE = 8
ATTEMPTS = 3
CHUNK = 1 << 18
# seconds to connect, and between two reads
PATIENCE = (20.0, 60.0)
# bytes that must come in each span of PATIENCE[1] seconds: a server that drips is one that does not answer
LEAST = 64 * 1024
# bytes of a file whose size nobody knows: a kernel's tarball has a fiftieth of it
LARGEST = 8 << 30
# 403 is what a proxy says that refuses, of a file that is there
GONE = (404, 410)
OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file to have: `label` names it in errors, `size` is in bytes where it is known.

    It lies at `path` below any Debian mirror, or, where that is empty, at `url`.
    """

    label: str
    sha256: str
    size: int | None = None
    path: str = ""
    url: str = ""

    def uris(self, mirrors: Sequence[str]) -> list[str]:
        """Where to ask for it, in order."""
        return [f"{base}/{quote(self.path, safe='/:+~')}" for base in mirrors] if self.path else [self.url]

    @property
    def member(self) -> str:
        """What it is called in a bundle."""
        return bundle.download_name(self.sha256)

    @property
    def most(self) -> int:
        """More bytes than that are not it."""
        return LARGEST if self.size is None else self.size


def of_package(package: Package) -> Wanted:
    """A locked Debian package."""
    label = f"{package.name} {package.version}"
    return Wanted(label=label, sha256=package.sha256, size=package.size, path=package.path)


def of_tarball(tarball: Tarball) -> Wanted:
    """An archive at a URL."""
    return Wanted(label=tarball.url.rpartition("/")[2], sha256=tarball.sha256, url=tarball.url)


def fetch(
    wanted: Sequence[Wanted],
    *,
    layout: Layout,
    mirrors: Callable[[], tuple[str, ...]],
    progress: Progress,
    scope: Scope,
) -> list[Path]:
    """The paths of the verified files, in order; `mirrors` is asked only if a file below a mirror is missing.

    Raises Missing if no mirror has a package, Infrastructure if none can be reached or what they send is not what
    was asked for, BadInput if a bundle that should have it all lacks a file, Interrupted if `scope` is cancelled.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        there = pool.map(lambda one: _is_whole(layout.download(one.sha256), one), wanted)
        absent = list({one.sha256: one for one, whole in zip(wanted, there, strict=True) if not whole}.values())
        if absent:
            meter = _Meter(progress, scope, total=sum(one.size or 0 for one in absent))
            bases = mirrors() if not layout.bundle and any(one.path for one in absent) else ()
            jobs = [pool.submit(_get, one, layout, bases, meter) for one in absent]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                meter.stop()
                pool.shutdown(cancel_futures=True)
                raise
    return [layout.download(one.sha256) for one in wanted]


class _Meter:
    """Adds up what all downloads have, and stops them together."""

    def __init__(self, progress: Progress, scope: Scope, *, total: int) -> None:
        self._progress = progress
        self._scope = scope
        self._total = total
        self._done = 0
        self._guard = threading.Lock()
        self._stopped = threading.Event()

    def add(self, size: int) -> None:
        self._scope.check()
        if self._stopped.is_set():
            raise Infrastructure("another download failed")
        with self._guard:
            self._done += size
            text = (
                f"{self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB" if self._total else f"{self._done / 1e6:.0f} MB"
            )
            self._progress(text, self._done, self._total or None)

    def stop(self) -> None:
        self._stopped.set()


def _is_whole(path: Path, wanted: Wanted) -> bool:
    """Whether a file is there and still is what it was: a disk may flip a bit, a person may edit a cache."""
    return path.exists() and file_sha256(path) == wanted.sha256


def _get(wanted: Wanted, layout: Layout, mirrors: Sequence[str], meter: _Meter) -> None:
    target = layout.download(wanted.sha256)
    with held(layout.lock(f"download-{wanted.sha256}"), waiting=lambda holder: None):
        if _is_whole(target, wanted):
            return
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        if layout.bundle:
            bundle.extract(layout.bundle, wanted.member, part, label=wanted.label, most=wanted.most)
            if not _is_whole(part, wanted):
                part.unlink()
                raise bundle.damaged(layout.bundle, wanted.label)
            part.replace(target)
            return
        _download(wanted, target, part, wanted.uris(mirrors), meter)


def _download(wanted: Wanted, target: Path, part: Path, uris: Sequence[str], meter: _Meter) -> None:
    troubles: list[str] = []
    absent = 0
    for uri in uris:
        for _ in range(ATTEMPTS):
            try:
                _receive(uri, part, wanted, meter)
            except FileNotFoundError:
                absent += 1
                troubles.append(f"{uri}: not there")
                break
            except OSError as error:  # requests' own errors are OSErrors too
                if error.errno in OUR_DISK:
                    raise Infrastructure(f"{part}: {error.strerror}", hint="make room, then start again") from error
                troubles.append(f"{uri}: {error}")
                continue
            if wanted.size in (None, part.stat().st_size) and _is_whole(part, wanted):
                part.replace(target)
                return
            part.unlink()
            troubles.append(f"{uri}: what came is not what was locked (size or SHA-256)")
    what = f"{wanted.label} cannot be fetched"
    if absent == len(uris):
        if wanted.path:
            raise Missing(
                f"{what}: no mirror has {wanted.path}",
                path=wanted.path,
                hint="./doit lock resolves all packages again",
            )
        raise Infrastructure(f"{what}: {troubles[-1]}", hint="is the URL right, and still served?")
    raise Infrastructure(f"{what}: {troubles[-1]}", hint="look at the network and the mirror, then start again")


def _receive(uri: str, part: Path, wanted: Wanted, meter: _Meter) -> None:
    """Append to `part` what is still missing of it; never more than its size and one chunk."""
    have = part.stat().st_size if part.exists() else 0
    if have > wanted.most:
        part.unlink()
        have = 0
    since, lately = time.monotonic(), 0
    with part.open("ab") as sink:
        for restart, chunk in _chunks(uri, have, wanted.size):
            if restart:
                sink.truncate(0)
                have = 0
            sink.write(chunk)
            have += len(chunk)
            lately += len(chunk)
            meter.add(len(chunk))
            if have > wanted.most:
                return
            if time.monotonic() - since > PATIENCE[1]:
                if lately < LEAST:
                    raise TimeoutError(f"only {lately} bytes came in {PATIENCE[1]:.0f} s")
                since, lately = time.monotonic(), 0


def _chunks(uri: str, have: int, size: int | None) -> Iterator[tuple[bool, bytes]]:
    """(whether to start over, bytes) from byte `have` on; FileNotFoundError if the mirror has no such file."""
    if have == size:
        return
    if uri.startswith("file:"):
        with Path(unquote(urlsplit(uri).path)).open("rb") as stream:
            stream.seek(have)
            while chunk := stream.read(CHUNK):
                yield False, chunk
        return
    import requests

    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(uri, headers=headers, stream=True, timeout=PATIENCE) as answer:
        if answer.status_code in GONE:
            raise FileNotFoundError(uri)
        if have and answer.status_code == requests.codes.requested_range_not_satisfiable:
            # what is there is all of it, or is not it: the digest tells
            return
        answer.raise_for_status()
        restart = bool(have) and answer.status_code != requests.codes.partial_content
        for chunk in _as_it_comes(answer):
            yield restart, chunk
            restart = False


def _as_it_comes(answer: "requests.Response") -> Iterator[bytes]:
    """What one read brings at a time, so that a drip is seen as one."""
    import urllib3

    try:
        while chunk := answer.raw.read1(CHUNK):
            yield chunk
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(str(error)) from error
