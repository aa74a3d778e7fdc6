"""Downloads against a server on loopback that misbehaves as mirrors do."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from oolong.errors import Infrastructure, Missing
from oolong.layout import Layout
from oolong.model import Package
from oolong.supply.fetch import fetch
from tests.support import layout_in, silent

CONTENT = bytes(range(256)) * 4000


class Mirror(BaseHTTPRequestHandler):
    """Serves `files`; a path may be broken off once, or answered with other bytes."""

    files: ClassVar[dict[str, bytes]] = {}
    broken_off: ClassVar[set[str]] = set()
    requests: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).requests.append((self.path, wanted))
        body = self.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if self.path in self.broken_off:
            self.broken_off.discard(self.path)
            self.wfile.write(body[start : len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body[start:])

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        """No log on the screen."""


@pytest.fixture
def mirror() -> Iterator[str]:
    Mirror.files, Mirror.broken_off, Mirror.requests = {}, set(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/debian"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


def package(name: str, content: bytes = CONTENT, **wrong: int) -> Package:
    return Package(
        name=name,
        version="1:2.0+x~y",
        arch="all",
        path=f"pool/{name}_2.0+x~y.deb",
        size=wrong.get("size", len(content)),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def served(one: Package, content: bytes = CONTENT) -> Package:
    Mirror.files[f"/debian/{one.path}"] = content
    return one


def get(layout: Layout, *packages: Package, mirrors: tuple[str, ...]) -> list[Path]:
    return fetch(packages, layout=layout, mirrors=lambda: mirrors, progress=silent)


def test_packages_come_in_order_and_are_not_asked_for_again(mirror: str, layout: Layout) -> None:
    packages = [served(package(f"p{number}", content := CONTENT + bytes([number])), content) for number in range(12)]
    paths = get(layout, *packages, mirrors=(mirror,))
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == [one.sha256 for one in packages]
    asked = len(Mirror.requests)
    assert asked == 12
    assert get(layout, *packages, mirrors=(mirror,)) == paths
    assert len(Mirror.requests) == asked


def test_a_download_that_broke_off_goes_on_where_it_stopped(mirror: str, layout: Layout) -> None:
    one = served(package("half"))
    Mirror.broken_off.add(f"/debian/{one.path}")
    (path,) = get(layout, one, mirrors=(mirror,))
    assert path.read_bytes() == CONTENT
    first, second = Mirror.requests
    assert first[1] is None
    assert second[1]
    assert 0 < int(second[1].removeprefix("bytes=").rstrip("-")) <= len(CONTENT) // 2


def test_what_an_earlier_run_left_is_gone_on_with(mirror: str, layout: Layout) -> None:
    one = served(package("left"))
    part = layout.download(one.sha256).with_name(f"{one.sha256}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    get(layout, one, mirrors=(mirror,))
    assert Mirror.requests == [(f"/debian/{one.path}", "bytes=1000-")]
    assert not part.exists()


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"more", b"<html>captive portal</html>"])
def test_other_bytes_are_never_moved_into_place(mirror: str, layout: Layout, content: bytes) -> None:
    one = served(package("other"), content)
    with pytest.raises(Infrastructure, match=r"other 1:2\.0"):
        get(layout, one, mirrors=(mirror,))
    assert not layout.download(one.sha256).exists()


def test_the_next_mirror_is_asked(mirror: str, layout: Layout) -> None:
    one = served(package("second"))
    (path,) = get(layout, one, mirrors=(f"{mirror}/nothing/here", mirror))
    assert path.read_bytes() == CONTENT


def test_a_package_that_no_mirror_has_is_missing(mirror: str, layout: Layout) -> None:
    there = served(package("there"))
    absent = package("absent", b"x")
    with pytest.raises(Missing, match="no mirror has pool/absent"):
        get(layout, there, absent, mirrors=(mirror,))


def test_a_mirror_that_does_not_answer_is_infrastructure(layout: Layout) -> None:
    with pytest.raises(Infrastructure) as caught:
        get(layout, package("x"), mirrors=("http://127.0.0.1:9/debian",))
    assert not isinstance(caught.value, Missing)


def test_a_folder_can_be_a_mirror(tmp_path: Path, layout: Layout) -> None:
    one = package("local")
    (tmp_path / "mirror" / "pool").mkdir(parents=True)
    (tmp_path / "mirror" / one.path).write_bytes(CONTENT)
    (path,) = get(layout, one, mirrors=(f"file://{tmp_path}/mirror",))
    assert path.read_bytes() == CONTENT
