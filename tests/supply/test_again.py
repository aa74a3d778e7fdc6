"""Temporary locks, and whether those of the checkout can stand for themselves again: a server on loopback, no apt."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oolong.host.layout import Layout
from oolong.spec import pipeline_yaml
from oolong.spec.model import Spec
from oolong.supply.again import available_again
from oolong.supply.relock import ABSENT
from tests import loopback
from tests.loopback import Mirror
from tests.temporary_locks import CONTENT, PATH, with_temporary_locks


@pytest.fixture
def server() -> Iterator[Mirror]:
    with loopback.mirror() as running:
        yield running


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return with_temporary_locks(tmp_path)


@pytest.fixture
def spec(layout: Layout) -> Spec:
    return pipeline_yaml.load(layout)


def test_what_no_mirror_has_is_not_there(server: Mirror, layout: Layout, spec: Spec) -> None:
    assert layout.temporary_locks
    assert not available_again(layout, spec, lambda: (f"{server.uri}/debian",))
    assert [path for path, _ in server.requests] == [f"/debian/{PATH}"]


def test_what_a_mirror_has_again_is_there(server: Mirror, layout: Layout, spec: Spec) -> None:
    server.serve(f"/debian/{PATH}", CONTENT)
    assert available_again(layout, spec, lambda: (f"{server.uri}/nothing", f"{server.uri}/debian"))


def test_a_page_of_another_size_is_not_it(server: Mirror, layout: Layout, spec: Spec) -> None:
    server.serve(f"/debian/{PATH}", b"please log in")
    assert not available_again(layout, spec, lambda: (f"{server.uri}/debian",))


def test_a_mirror_that_refuses_or_does_not_answer_is_no_mirror_that_has_it(
    server: Mirror, layout: Layout, spec: Spec
) -> None:
    server.serve(f"/debian/{PATH}", CONTENT)
    server.refused.add(f"/debian/{PATH}")
    assert not available_again(layout, spec, lambda: (f"{server.uri}/debian", "http://127.0.0.1:9/debian"))


def test_a_folder_as_a_mirror_is_looked_into(layout: Layout, spec: Spec, tmp_path: Path) -> None:
    mirror = tmp_path / "a mirror"
    assert not available_again(layout, spec, lambda: (f"file://{mirror}",))
    (mirror / PATH).parent.mkdir(parents=True)
    (mirror / PATH).write_bytes(CONTENT)
    assert available_again(layout, spec, lambda: (f"file://{mirror}".replace(" ", "%20"),))


def test_what_lies_in_the_cache_is_asked_of_nobody(server: Mirror, layout: Layout, spec: Spec) -> None:
    file = layout.download(hashlib.sha256(CONTENT).hexdigest())
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    assert available_again(layout, spec, lambda: (server.uri,))
    assert server.requests == []


def test_what_the_locks_name_no_more_keeps_nobody_from_them(server: Mirror, layout: Layout, spec: Spec) -> None:
    (layout.unlocked / ABSENT).write_text(json.dumps(["pool/main/o/other.deb"]))
    assert available_again(layout, spec, lambda: (server.uri,))
