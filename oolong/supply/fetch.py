"""Downloads locked packages: in parallel, resumed, and verified before they are moved into place.

No index is needed, since a lock has the path below the mirror, the size and the SHA-256. What lies at
`layout.download(sha256)` was verified; what is still coming lies beside it as SHA256.part.
"""

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import requests

from oolong import proc
from oolong.digest import file_sha256
from oolong.errors import Infrastructure, Missing
from oolong.layout import Layout
from oolong.locking import held
from oolong.model import Package
from oolong.stage import Progress

AT_ONCE = 8
ATTEMPTS = 3
CHUNK = 1 << 18
# seconds to connect, and between two reads
PATIENCE = (20.0, 60.0)
GONE = (403, 404, 410)
OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


def fetch(
    packages: Sequence[Package], *, layout: Layout, mirrors: Callable[[], tuple[str, ...]], progress: Progress
) -> list[Path]:
    """The paths of the verified packages, in order; `mirrors` is asked only if something is missing.

    Raises Missing if no mirror has a package, Infrastructure if none can be reached or what they send is not what
    was locked.
    """
    wanted = missing(packages, layout)
    if wanted:
        meter = _Meter(progress, total=sum(package.size for package in wanted))
        bases = mirrors()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = [pool.submit(_get, package, layout, bases, meter) for package in wanted]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                meter.stop()
                pool.shutdown(cancel_futures=True)
                raise
    return [layout.download(package.sha256) for package in packages]


def missing(packages: Sequence[Package], layout: Layout) -> list[Package]:
    """Those that are not downloaded yet."""
    return [package for package in packages if not layout.download(package.sha256).exists()]


class _Meter:
    """Adds up what all downloads have, and stops them together."""

    def __init__(self, progress: Progress, *, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._guard = threading.Lock()
        self._stopped = threading.Event()

    def add(self, size: int) -> None:
        proc.check_interrupted()
        if self._stopped.is_set():
            raise Infrastructure("another download failed")
        with self._guard:
            self._done += size
            self._progress(f"{self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB", self._done, self._total)

    def stop(self) -> None:
        self._stopped.set()


def _get(package: Package, layout: Layout, mirrors: Sequence[str], meter: _Meter) -> None:
    target = layout.download(package.sha256)
    with held(layout.lock(f"download-{package.sha256}"), waiting=lambda holder: None):
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        troubles: list[str] = []
        absent = 0
        for uri in (_uri(base, package) for base in mirrors):
            for _ in range(ATTEMPTS):
                try:
                    _receive(uri, part, package, meter)
                except FileNotFoundError:
                    absent += 1
                    troubles.append(f"{uri}: not there")
                    break
                except OSError as error:  # requests' own errors are OSErrors too
                    if error.errno in OUR_DISK:
                        raise Infrastructure(f"{part}: {error.strerror}", hint="make room, then start again") from error
                    troubles.append(f"{uri}: {error}")
                    continue
                if part.stat().st_size == package.size and file_sha256(part) == package.sha256:
                    part.replace(target)
                    return
                part.unlink()
                troubles.append(f"{uri}: what came is not what was locked (size or SHA-256)")
    what = f"{package.name} {package.version} cannot be fetched"
    if absent == len(mirrors):
        raise Missing(f"{what}: no mirror has {package.path}", hint="./doit lock resolves all packages again")
    raise Infrastructure(f"{what}: {troubles[-1]}", hint="look at the network and the mirror, then start again")


def _receive(uri: str, part: Path, package: Package, meter: _Meter) -> None:
    """Append to `part` what is still missing of it; never more than the locked size and one chunk."""
    have = part.stat().st_size if part.exists() else 0
    if have > package.size:
        part.unlink()
        have = 0
    with part.open("ab") as sink:
        for restart, chunk in _chunks(uri, have, package.size):
            if restart:
                sink.truncate(0)
                have = 0
            sink.write(chunk)
            have += len(chunk)
            meter.add(len(chunk))
            if have > package.size:
                return


def _chunks(uri: str, have: int, size: int) -> Iterator[tuple[bool, bytes]]:
    """(whether to start over, bytes) from byte `have` on; FileNotFoundError if the mirror has no such file."""
    if have == size:
        return
    if uri.startswith("file:"):
        with Path(unquote(urlsplit(uri).path)).open("rb") as stream:
            stream.seek(have)
            while chunk := stream.read(CHUNK):
                yield False, chunk
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(uri, headers=headers, stream=True, timeout=PATIENCE) as answer:
        if answer.status_code in GONE:
            raise FileNotFoundError(uri)
        answer.raise_for_status()
        restart = bool(have) and answer.status_code != requests.codes.partial_content
        for chunk in answer.iter_content(CHUNK):
            yield restart, chunk
            restart = False


def _uri(base: str, package: Package) -> str:
    return f"{base}/{quote(package.path, safe='/:+~')}"
