"""Downloads against a server on loopback that misbehaves as mirrors do."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from oolong.errors import Infrastructure, Missing
from oolong.host.layout import Layout
from oolong.host.process import Scope
from oolong.spec.model import Package
from oolong.supply import fetch as fetching
from oolong.supply.fetch import Wanted, fetch, of_package
from tests import loopback
from tests.loopback import Mirror
from tests.support import layout_in, silent

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def server() -> Iterator[Mirror]:
    with loopback.mirror() as running:
        yield running


@pytest.fixture
def mirror(server: Mirror) -> str:
    """The mirror's URI."""
    return f"{server.uri}/debian"


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


def served(server: Mirror, one: Package, content: bytes = CONTENT) -> Package:
    server.serve(f"/debian/{one.path}", content)
    return one


def get(layout: Layout, *packages: Package, mirrors: tuple[str, ...]) -> list[Path]:
    return fetch(
        [of_package(one) for one in packages], layout=layout, mirrors=lambda: mirrors, progress=silent, scope=Scope()
    )


def test_packages_come_in_order_and_are_not_asked_for_again(server: Mirror, mirror: str, layout: Layout) -> None:
    packages = [
        served(server, package(f"p{number}", content := CONTENT + bytes([number])), content) for number in range(12)
    ]
    paths = get(layout, *packages, mirrors=(mirror,))
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == [one.sha256 for one in packages]
    asked = len(server.requests)
    assert asked == 12
    assert get(layout, *packages, mirrors=(mirror,)) == paths
    assert len(server.requests) == asked


def test_a_download_that_broke_off_goes_on_where_it_stopped(server: Mirror, mirror: str, layout: Layout) -> None:
    one = served(server, package("half"))
    server.broken_off.add(f"/debian/{one.path}")
    (path,) = get(layout, one, mirrors=(mirror,))
    assert path.read_bytes() == CONTENT
    first, second = server.requests
    assert first[1] is None
    assert second[1]
    assert 0 < int(second[1].removeprefix("bytes=").rstrip("-")) <= len(CONTENT) // 2


def test_what_an_earlier_run_left_is_gone_on_with(server: Mirror, mirror: str, layout: Layout) -> None:
    one = served(server, package("left"))
    part = layout.download(one.sha256).with_name(f"{one.sha256}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    get(layout, one, mirrors=(mirror,))
    assert server.requests == [(f"/debian/{one.path}", "bytes=1000-")]
    assert not part.exists()


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"more", b"<html>captive portal</html>"])
def test_other_bytes_are_never_moved_into_place(server: Mirror, mirror: str, layout: Layout, content: bytes) -> None:
    one = served(server, package("other"), content)
    with pytest.raises(Infrastructure, match=r"other 1:2\.0"):
        get(layout, one, mirrors=(mirror,))
    assert not layout.download(one.sha256).exists()


def test_the_next_mirror_is_asked(server: Mirror, mirror: str, layout: Layout) -> None:
    one = served(server, package("second"))
    (path,) = get(layout, one, mirrors=(f"{mirror}/nothing/here", mirror))
    assert path.read_bytes() == CONTENT


def test_a_package_that_no_mirror_has_is_missing(server: Mirror, mirror: str, layout: Layout) -> None:
    there = served(server, package("there"))
    absent = package("absent", b"x")
    with pytest.raises(Missing, match="no mirror has pool/absent"):
        get(layout, there, absent, mirrors=(mirror,))


def test_a_file_that_is_refused_is_not_gone(server: Mirror, mirror: str, layout: Layout) -> None:
    """A proxy that does not let it through says nothing about the archive: no lock is outdated by that."""
    one = served(server, package("refused"))
    server.refused.add(f"/debian/{one.path}")
    with pytest.raises(Infrastructure, match="403") as caught:
        get(layout, one, mirrors=(mirror,))
    assert not isinstance(caught.value, Missing)


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


def test_a_flipped_bit_in_a_finished_download_is_noticed_and_mended(
    server: Mirror, mirror: str, layout: Layout
) -> None:
    one = served(server, package("flipped"))
    (path,) = get(layout, one, mirrors=(mirror,))
    path.write_bytes(bytes([CONTENT[0] ^ 1]) + CONTENT[1:])
    assert get(layout, one, mirrors=(mirror,)) == [path]
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_file_swapped_for_another_is_refused(server: Mirror, mirror: str, layout: Layout) -> None:
    """Both are good files, under each other's names."""
    one, two = package("one", CONTENT), package("two", CONTENT[::-1])
    served(server, one, CONTENT[::-1])
    served(server, two, CONTENT)
    with pytest.raises(Infrastructure, match="not what was locked"):
        get(layout, one, two, mirrors=(mirror,))
    assert not layout.download(one.sha256).exists()


@pytest.mark.parametrize("size", [None, 5000])
def test_a_download_that_never_ends_is_cut_off(
    server: Mirror, layout: Layout, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LARGEST", 100_000)
    uri = server.serve("/endless.tar.xz", CONTENT)
    server.endless.add("/endless.tar.xz")
    wanted = Wanted(label="endless", sha256="0" * 64, size=size, url=uri)
    with pytest.raises(Infrastructure, match="endless cannot be fetched"):
        fetch([wanted], layout=layout, mirrors=lambda: (), progress=silent, scope=Scope())
    assert not list(layout.download(wanted.sha256).parent.iterdir())


def test_a_server_that_drips_is_given_up(server: Mirror, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came is kept for the next run."""
    monkeypatch.setattr(fetching, "PATIENCE", (5.0, 0.3))
    uri = server.serve("/slow.tar.xz", CONTENT)
    server.dripping.add("/slow.tar.xz")
    wanted = Wanted(label="slow", sha256=hashlib.sha256(CONTENT).hexdigest(), url=uri)
    with pytest.raises(Infrastructure, match=r"only \d+ bytes came in"):
        fetch([wanted], layout=layout, mirrors=lambda: (), progress=silent, scope=Scope())
    server.dripping.clear()
    (path,) = fetch([wanted], layout=layout, mirrors=lambda: (), progress=silent, scope=Scope())
    assert path.read_bytes() == CONTENT
    assert server.requests[-1][1], "it began again"


def test_a_url_that_is_gone_is_no_outdated_lock(server: Mirror, layout: Layout) -> None:
    with pytest.raises(Infrastructure, match="not there") as caught:
        fetch(
            [Wanted(label="x", sha256="0" * 64, url=f"{server.uri}/x")],
            layout=layout,
            mirrors=tuple,
            progress=silent,
            scope=Scope(),
        )
    assert not isinstance(caught.value, Missing)
