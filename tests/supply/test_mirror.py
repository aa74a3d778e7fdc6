from pathlib import Path

import pytest

from oolong.errors import BadInput, Infrastructure
from oolong.supply import mirror
from oolong.supply.apt import parse_uris


def test_a_setting_comes_first_and_may_name_several() -> None:
    setting = " http://one.example/debian/ , file:///srv/debian\nhttps://three.example/debian"
    assert mirror.mirrors({mirror.SETTING: setting}) == (
        "http://one.example/debian",
        "file:///srv/debian",
        "https://three.example/debian",
    )


@pytest.mark.parametrize("setting", ["mirror.example/debian", "ftp://mirror.example/debian", "http://a/debian x"])
def test_a_setting_that_is_no_uri_is_bad_input(setting: str) -> None:
    with pytest.raises(BadInput, match=mirror.SETTING):
        mirror.mirrors({mirror.SETTING: setting})


def test_debian_itself_is_told_from_other_archives() -> None:
    printed = (
        "Debian|Debian|http://mirror.example/debian/\n"
        "Debian|Debian|http://mirror.example/debian/\n"
        "Debian|Debian-Security|http://mirror.example/debian-security/\n"
        "Some Company|Debian|http://other.example/debian/\n"
        "Ubuntu|Ubuntu|http://ubuntu.example/ubuntu/\n"
        "||http://unread.example/debian/\n"
        "||http://unread.example/debian-security/\n"
    )
    assert mirror.parse_index_targets(printed) == ("http://mirror.example/debian", "http://unread.example/debian")


def test_a_host_without_debian_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_index_targets", lambda: "Ubuntu|Ubuntu|http://ubuntu.example/ubuntu/\n")
    with pytest.raises(Infrastructure, match=mirror.SETTING):
        mirror.mirrors({})


def test_uris_become_packages() -> None:
    sha = "a" * 64
    printed = (
        f"'http://m.example/debian/pool/main/g/gcc_14%3a2.0%2bx_amd64.deb' gcc_14%3a2.0+x_amd64.deb 12 SHA256:{sha}\n"
        "some other line\n"
    )
    (package,) = parse_uris(printed, "http://m.example/debian")
    assert (package.name, package.version, package.arch) == ("gcc", "14:2.0+x", "amd64")
    assert (package.path, package.size, package.sha256) == ("pool/main/g/gcc_14:2.0+x_amd64.deb", 12, sha)


@pytest.mark.parametrize(
    "printed", ["", "'http://other.example/pool/x_1_all.deb' x_1_all.deb 1 SHA256:" + "a" * 64 + "\n"]
)
def test_answers_that_make_no_sense_are_refused(printed: str) -> None:
    with pytest.raises(Infrastructure):
        parse_uris(printed, "http://m.example/debian")


def test_settings_are_for_all_checkouts_and_the_environment_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "oolong").mkdir()
    settings = tmp_path / "oolong" / "settings.yaml"
    settings.write_text("mirrors:\n  - http://one.example/debian/\n  - file:///srv/debian\n")
    assert mirror.mirrors({}) == ("http://one.example/debian", "file:///srv/debian")
    assert mirror.mirrors({mirror.SETTING: "http://other.example/debian"}) == ("http://other.example/debian",)
    settings.write_text("mirors: []\n")
    with pytest.raises(BadInput, match="did you mean 'mirrors'"):
        mirror.mirrors({})


def test_a_snapshot_is_told_by_its_time() -> None:
    assert mirror.is_snapshot("http://mirror.example/archive/debian/20251101T023456Z")
    assert mirror.is_snapshot("http://mirror.example/archive/debian/20251101T023456Z/")
    assert not mirror.is_snapshot("http://mirror.example/debian")
