"""Which Debian mirrors there are: the person's settings, else what the host's apt is set up with."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from oolong.errors import BadInput, Infrastructure
from oolong.host import process
from oolong.host.layout import settings_file
from oolong.spec import yamlfile

SETTING = "OOLONG_MIRROR"
# the time that snapshot archives have in their paths
SNAPSHOT = re.compile(r"/\d{8}T\d{6}Z(?:/|$)")
SCHEMES = ("http://", "https://", "file:/")
HINT = f"set {SETTING} to the URI of a Debian mirror, such as the one your site runs, e.g. http://mirror.example/debian"


def mirrors(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Base URIs without a slash at the end, the preferred one first: those of OOLONG_MIRROR, else of settings.yaml,
    else of apt; Infrastructure if there is none."""
    if setting := environment.get(SETTING, "").strip():
        return tuple(_checked(word, SETTING) for word in re.split(r"[\s,]+", setting))
    if set_once := _settings(settings_file()):
        return set_once
    found = parse_index_targets(_index_targets())
    if not found:
        raise Infrastructure("apt on this machine has no mirror of Debian", hint=HINT)
    return found


def parse_index_targets(text: str) -> tuple[str, ...]:
    """`apt-get indextargets` lines `ORIGIN|LABEL|URI` → the URIs of Debian's own archive, each once.

    Label tells Debian's main archive from debian-security, whose pool holds other packages. Where apt has not
    fetched its lists yet, origin and label are empty, and the URI's last part has to tell.
    """
    found = []
    for line in text.splitlines():
        origin, label, uri = [*line.split("|"), "", ""][:3]
        known = origin == label == "Debian" or (not origin and not label and uri.rstrip("/").endswith("/debian"))
        if known and uri.startswith(SCHEMES):
            found.append(uri.rstrip("/"))
    return tuple(dict.fromkeys(found))


def _index_targets() -> str:
    try:
        done = process.check(
            ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"]
        )
    except Infrastructure as error:
        raise Infrastructure(f"apt does not tell its mirrors: {error.what}", hint=HINT) from error
    return done.output.decode(errors="replace")


def is_snapshot(mirror: str) -> bool:
    """Whether a mirror is an archive as it was at some time, whose lists have run out by now."""
    return bool(SNAPSHOT.search(mirror))


def _settings(file: Path) -> tuple[str, ...]:
    if not file.exists():
        return ()
    top = yamlfile.load(file, file=str(file)).fields(optional=("mirrors",))
    items = top["mirrors"].items() if "mirrors" in top else []
    return tuple(_checked(item.text(), item.where) for item in items)


def _checked(uri: str, where: str) -> str:
    if not uri.startswith(SCHEMES):
        raise BadInput(f"{uri!r} is not an http, https or file URI", where=where, hint=HINT)
    return uri.rstrip("/")
