"""known-issues.yaml → the frozen types of oolong.verdict.known_issues; an error is BadInput with `file:line:column`."""

import re

from oolong.audit import catalogue
from oolong.host.layout import Layout
from oolong.spec import yamlfile
from oolong.spec.pipeline_yaml import AXES, NAME, symbol
from oolong.spec.yamlfile import Value
from oolong.verdict.known_issues import AtMost, Bound, Covers, KnownIssue, Names, Whole

MOST_VICTIMS = 1 << 20
BOUND = re.compile(r"(?P<sign>[<>]=?|==)\s*(?P<version>\d+(?:\.\d+)*)")
REQUIRED = ("id", "covers", "reason", "evidence")
OPTIONAL = ("check", "checks", "kernels", "when", "config", "upstream")


def load(layout: Layout) -> tuple[KnownIssue, ...]:
    """The checkout's known issues in the order of the file; none without a file."""
    path = layout.known_issues
    if not path.exists():
        return ()
    items = yamlfile.load(path, file=path.name).fields(required=("issues",))["issues"].items()
    first: dict[str, Value] = {}
    entries = []
    for item in items:
        fields = item.fields(required=REQUIRED, optional=OPTIONAL)
        name = fields["id"].text()
        if name in first:
            fields["id"].fail(f"{name!r} is here twice", f"the first one is at {first[name].where}")
        first[name] = fields["id"]
        entries.append(_entry(item, fields))
    return tuple(entries)


def _entry(item: Value, fields: dict[str, Value]) -> KnownIssue:
    name = fields["id"].text()
    if not NAME.fullmatch(name):
        fields["id"].fail(f"{name!r} is not a name", "letters, digits, '.', '_' and '-', a letter or digit first")
    if ("check" in fields) == ("checks" in fields):
        item.fail("needs one of 'check', 'checks'")
    named = [fields["check"]] if "check" in fields else _some(fields["checks"])
    return KnownIssue(
        name=name,
        checks=tuple(value.choice(catalogue.entries(), "check") for value in named),
        covers=_covers(fields["covers"]),
        kernels=_kernels(fields["kernels"]) if "kernels" in fields else (),
        when=_when(fields["when"]) if "when" in fields else (),
        config=tuple(symbol(key, value) for key, value in fields["config"].entries()) if "config" in fields else (),
        reason=fields["reason"].text().strip(),
        evidence=fields["evidence"].text().strip(),
        upstream=fields["upstream"].text() if "upstream" in fields else "",
    )


def _covers(value: Value) -> Covers:
    if not value.is_mapping:
        if (text := value.text()) != "whole":
            value.fail(f"{text!r} is nothing to cover", "whole, {at_most: NUMBER} or {names: [NAME, GLOB]}")
        return Whole()
    fields = value.fields(optional=("at_most", "names"))
    if len(fields) != 1:
        value.fail("needs one of 'at_most', 'names'")
    if "at_most" in fields:
        return AtMost(victims=fields["at_most"].number(least=1, most=MOST_VICTIMS))
    return Names(globs=tuple(item.text() for item in _some(fields["names"])))


def _kernels(value: Value) -> tuple[Bound, ...]:
    bounds = []
    for part in value.text().split(","):
        if not (match := BOUND.fullmatch(part.strip())):
            value.fail(f"{part.strip()!r} is no bound of a range of versions", 'like ">=6.13, <6.18"')
        bounds.append(Bound(sign=match["sign"], version=tuple(map(int, match["version"].split(".")))))
    return tuple(bounds)


def _when(value: Value) -> tuple[tuple[str, str], ...]:
    fields = value.fields(optional=AXES)
    if not fields:
        value.fail("must not be empty")
    return tuple((axis, glob.text()) for axis, glob in fields.items())


def _some(value: Value) -> list[Value]:
    if not (items := value.items()):
        value.fail("must not be empty")
    return items
