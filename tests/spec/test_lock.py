import json
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.errors import BadInput
from oolong.host.digest import digest_of
from oolong.host.layout import Layout
from oolong.spec import lock
from oolong.spec.lock import Lock
from oolong.spec.model import DebianSource, Package, Toolchain
from tests.support import layout_in

SHA = "0123456789abcdef" * 4
TOOLCHAIN = Toolchain(
    name="tools", family="host", suites=("trixie",), packages=("make",), without=(), links=(), prefixes=()
)
SOURCE = DebianSource(name="v7", suite="backports", package="linux-source")


def package(name: str = "make", version: str = "4.4", sha256: str = SHA, path: str = "pool/make.deb") -> Package:
    return Package(name=name, version=version, arch="amd64", path=path, size=10, sha256=sha256)


def locked(*packages: Package, name: str = "tools") -> Lock:
    return Lock(name=name, asked=lock.asked_by_toolchain(TOOLCHAIN), packages=packages)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


def test_a_lock_reads_back_with_one_package_a_line(layout: Layout) -> None:
    written = locked(package(), package("bison", path="pool/bison.deb"))
    lock.write_toolchain(layout, written)
    text = layout.toolchain_lock("tools").read_text()
    assert sum('"sha256"' in line for line in text.splitlines()) == 2
    assert {one.name for one in lock.read_toolchain(layout, TOOLCHAIN).packages} == {"make", "bison"}
    lock.write_sources(layout, [Lock(name="v7", asked=lock.asked_by_source(SOURCE), packages=(package(),))], known=())
    assert lock.read_source(layout, SOURCE).packages == (package(),)


def test_a_lock_made_for_something_else_is_noticed(layout: Layout) -> None:
    lock.write_toolchain(layout, locked(package()))
    with pytest.raises(BadInput, match="made for something else"):
        lock.read_toolchain(layout, replace(TOOLCHAIN, packages=("make", "gcc")))


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "pool/../../x", ""])
def test_a_path_out_of_the_mirror_is_refused(layout: Layout, path: str) -> None:
    lock.write_toolchain(layout, locked(package(path=path)))
    with pytest.raises(BadInput, match="fields are wrong"):
        lock.read_toolchain(layout, TOOLCHAIN)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"packages": 1}', '{"packages": [1]}'])
def test_a_lock_that_is_none_is_refused(layout: Layout, text: str) -> None:
    path = layout.toolchain_lock("tools")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(BadInput, match=r"tools\.lock"):
        lock.read_toolchain(layout, TOOLCHAIN)
    with pytest.raises(BadInput, match="missing"):
        lock.read_source(layout, SOURCE)


def test_two_locks_must_agree_on_a_package() -> None:
    merged = lock.merge([locked(package()), locked(package(), package("bison"), name="more")])
    assert [one.name for one in merged] == ["bison", "make"]
    with pytest.raises(BadInput, match=r"more has make 4\.5, tools has 4\.4"):
        lock.merge([locked(package()), locked(package(version="4.5", sha256="f" * 64), name="more")])


def test_temporary_locks_stand_in_until_the_real_ones_change(layout: Layout) -> None:
    lock.write_toolchain(layout, locked(package()))
    assert lock.standing_in(layout) == layout
    newer = locked(package(version="4.5", sha256="f" * 64))
    lock.stand_in(layout, lambda elsewhere: lock.write_toolchain(elsewhere, newer))
    standing = lock.standing_in(layout)
    assert lock.read_toolchain(standing, TOOLCHAIN).packages[0].version == "4.5"
    assert lock.read_toolchain(layout, TOOLCHAIN).packages[0].version == "4.4"
    lock.write_toolchain(layout, locked(package(version="4.6", sha256="e" * 64)))
    assert lock.standing_in(layout) == layout
    assert json.loads(layout.toolchain_lock("tools").read_text())["packages"][0]["version"] == "4.6"


VICTIMS = {"image.kprobe-window": {"short-function": [f"function_{number}" for number in range(40)], "": ["a b"]}}


def victims(names: lock.Victims = VICTIMS) -> lock.RecordedVictims:
    return lock.RecordedVictims(inputs="c" * 64, sha256=digest_of(names), names=names)


def test_victims_are_kept_beside_artifacts_and_sources(layout: Layout) -> None:
    lock.write_recorded(layout, {"one": lock.Recorded(inputs="a" * 64, artifacts={"vmlinux": "b" * 64})})
    assert lock.read_victims(layout) == {}
    lock.write_victims(layout, {"one": victims()})
    lock.write_victims(layout, {"two": victims({})})
    assert lock.read_victims(layout) == {"one": victims(), "two": victims({})}
    assert lock.read_recorded(layout).keys() == {"one"}
    text = layout.victims.read_text()
    assert json.loads(text) == {"one": VICTIMS, "two": {}}
    assert max(map(len, text.splitlines())) <= 120
    assert len(text.splitlines()) < 20
    assert '"function_39"' not in layout.recorded.read_text()


def test_names_that_are_not_those_of_the_digest_are_not_told(layout: Layout) -> None:
    lock.write_victims(layout, {"one": victims()})
    layout.victims.write_text(json.dumps({"one": {"image.kprobe-window": {"short-function": ["other"]}}}))
    assert lock.read_victims(layout)["one"] == replace(victims(), names=None)
    layout.victims.unlink()
    assert lock.read_victims(layout)["one"] == replace(victims(), names=None)


@pytest.mark.parametrize(
    ("recorded", "names"),
    [('{"victims": {"one": 5}}', "{}"), ('{"victims": []}', "{}"), ('{"victims": {}}', "{"), ('{"victims": {}}', "[]")],
)
def test_malformed_victims_are_bad_input(layout: Layout, recorded: str, names: str) -> None:
    layout.checkout.mkdir()
    layout.recorded.write_text(recorded)
    layout.victims.write_text(names)
    with pytest.raises(BadInput, match=r"pipeline\.(lock|victims).*\n.*record victims=1"):
        lock.read_victims(layout)
