"""Whether the mirrors have again what made temporary locks necessary: a request for the head of each file."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from oolong.host.layout import Layout
from oolong.spec.model import Package, Spec
from oolong.supply.fetch import of_package
from oolong.supply.relock import ABSENT, in_force

# seconds to wait for an answer: who is offline waits once for each mirror
PATIENCE = 5.0


def available_again(layout: Layout, spec: Spec, mirrors: Callable[[], tuple[str, ...]]) -> bool:
    """Whether all that the checkout's own locks name, and no mirror had, is in the cache or on a mirror now.

    `layout` has the temporary locks. Any trouble means no: they stand in for another run.
    """
    wanted = [of_package(package) for package in _absent(layout, spec)]
    missing = [one for one in wanted if not layout.download(one.sha256).exists()]
    if not missing:
        return True
    bases = mirrors()
    return all(any(_is_there(uri, one.size) for uri in one.uris(bases)) for one in missing)


def _absent(layout: Layout, spec: Spec) -> Iterator[Package]:
    """The packages of the checkout's own locks that no mirror had when the temporary ones were made."""
    try:
        absent = frozenset(json.loads((layout.unlocked / ABSENT).read_bytes()))
    except FileNotFoundError:
        absent = frozenset()
    own = in_force(replace(layout, temporary_locks=None), spec)
    for one in (*own.toolchains.values(), *own.sources.values()):
        yield from (package for package in one.packages if package.path in absent)


def _is_there(uri: str, size: int | None) -> bool:
    """Whether a file of that size is at a URI, in bytes; a server need not say the size."""
    if uri.startswith("file:"):
        path = Path(unquote(urlsplit(uri).path))
        return path.is_file() and size in (None, path.stat().st_size)
    import requests

    try:
        with requests.head(uri, headers={"Accept-Encoding": "identity"}, allow_redirects=True, timeout=PATIENCE) as it:
            told = it.headers.get("Content-Length")
            return it.ok and (size is None or told is None or told == str(size))
    except OSError:  # requests' own errors are OSErrors too
        return False
