"""known-issues.yaml → the frozen types of oolong.verdict.known_issues; an error is BadInput with `file:line:column`."""

import re
from fnmatch import fnmatchcase

from oolong.audit import catalogue
from oolong.audit.rules import NEVER_KNOWN, RULES, rules_of
from oolong.host.layout import Layout
from oolong.spec import yamlfile
from oolong.spec.pipeline_yaml import AXES, NAME, symbol
from oolong.spec.yamlfile import Value
from oolong.verdict.known_issues import GLOB, Bound, ByRule, Covers, KnownIssue, Names, Whole

BOUND = re.compile(r"(?P<sign>[<>]=?|==)\s*(?P<version>[0-9]{1,9}(?:\.[0-9]{1,9})*)")
REQUIRED = ("id", "covers", "kernels", "reason", "evidence")
OPTIONAL = ("check", "checks", "when", "config", "upstream")
# the part of a glob that is itself, and how long it must be at least: `*` and `?*` name everything
WILD = re.compile(r"\[[^]]*\]|[^A-Za-z0-9]")
LEAST_OF_A_NAME, LEAST_OF_AN_AXIS = 3, 1
# what compares by itself: a finding of it is another one each time, which none may cover unseen
COMPARING = ("stubs.*", "boot.*", "guest.allocated", "artifacts.digest", "stage.*")
COVERS = "whole, {names: [NAME, GLOB]} or {rule: NAME}"


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
    entry = KnownIssue(
        name=name,
        checks=tuple(_check(value) for value in named),
        covers=_covers(fields["covers"]),
        kernels=_kernels(fields["kernels"]),
        when=_when(fields["when"]) if "when" in fields else (),
        config=tuple(symbol(key, value) for key, value in fields["config"].entries()) if "config" in fields else (),
        reason=fields["reason"].text().strip(),
        evidence=fields["evidence"].text().strip(),
        upstream=fields["upstream"].text() if "upstream" in fields else "",
    )
    _refuse_what_rules_cover(entry, fields["covers"])
    _refuse_loose(entry, item, fields)
    return entry


def _check(value: Value) -> str:
    if (name := value.choice(catalogue.entries(), "check")) in NEVER_KNOWN:
        value.fail(f"{name!r} is never known", "it tells news from what is known: find the cause of a failure")
    return name


def _covers(value: Value) -> Covers:
    if not value.is_mapping:
        if (text := value.text()) != "whole":
            value.fail(f"{text!r} is nothing to cover", COVERS)
        return Whole()
    for key, _ in value.entries():
        if key.text() == "at_most":
            hint = f"write {{rule: NAME}}, one of {', '.join(RULES)}; or {{names: [NAME, GLOB]}} for this cell"
            key.fail("'at_most' is no longer a key", hint)
    fields = value.fields(optional=("names", "rule"))
    if len(fields) != 1:
        value.fail("needs one of 'names', 'rule'")
    if "rule" in fields:
        return ByRule(rule=fields["rule"].choice(RULES, "rule"))
    return Names(globs=tuple(_glob(item, least=LEAST_OF_A_NAME) for item in _some(fields["names"])))


def _glob(value: Value, *, least: int) -> str:
    """A name, or a glob that says something."""
    glob = value.text()
    if GLOB.search(glob) and len(WILD.sub("", glob)) < least:
        value.fail(f"{glob!r} matches nearly everything", f"a glob here needs {least} letters or digits of its own")
    return glob


def _refuse_what_rules_cover(entry: KnownIssue, covers: Value) -> None:
    """What a rule may explain, names and wholes must not cover: that would swallow what it does not explain."""
    for check in entry.checks:
        rules = [rule.name for rule in rules_of(check)]
        if isinstance(entry.covers, ByRule):
            if entry.covers.rule not in rules:
                explains = ", ".join(RULES[entry.covers.rule].checks)
                covers.fail(f"the rule {entry.covers.rule!r} explains nothing of {check!r}", f"it explains {explains}")
        elif rules:
            hint = f"write {' or '.join(f'{{rule: {rule}}}' for rule in rules)}"
            covers.fail(f"{check!r} is covered by rules alone", hint)


def _refuse_loose(entry: KnownIssue, item: Value, fields: dict[str, Value]) -> None:
    """Names are those of one compiler's kernel and configuration. A rule holds wherever its code does, so that an entry
    holds for a kernel that somebody else built."""
    axes = [axis for axis, _ in entry.when]
    comparing = [check for check in entry.checks if any(fnmatchcase(check, glob) for glob in COMPARING)]
    match entry.covers:
        case Whole() if comparing:
            hint = "cover the lines of a failed stage by names; find the cause of a number that differs"
            fields["covers"].fail(f"a whole covers no finding of {comparing[0]!r}: each may be another one", hint)
        case Whole() if not entry.config and not axes:
            item.fail("an entry with 'whole' needs 'config' or 'when'", "say which kernels it is about")
        case ByRule() if entry.when:
            fields["when"].fail("an entry with a rule names no cell", "say which code it is about by 'config'")
        case ByRule() if not entry.config:
            item.fail("an entry with a rule needs 'config'", "the symbols that switch on the code that it is about")
        case Names() if "toolchain" not in axes:
            item.fail("an entry with names needs 'when: {toolchain: …}'", "other compilers make other victims")
        case Names() if not entry.config and "config" not in axes:
            item.fail("an entry with names needs 'config', or 'when: {config: …}'", "other configs have other victims")


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
    return tuple((axis, _glob(glob, least=LEAST_OF_AN_AXIS)) for axis, glob in fields.items())


def _some(value: Value) -> list[Value]:
    if not (items := value.items()):
        value.fail("must not be empty")
    return items
