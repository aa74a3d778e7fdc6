"""pipeline.yaml and toolchains/*.yaml → the frozen types of oolong.spec.model; the first step of the picture.

Everything that a file names is checked here: whatever is not known, missing, twice there or of the wrong kind is
BadInput with `file:line:column` and the nearest valid name.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from oolong.errors import BadInput, did_you_mean
from oolong.host.layout import Layout
from oolong.spec import yamlfile
from oolong.spec.model import (
    Axis,
    BaseSource,
    CellSet,
    Combination,
    DebianSource,
    DirSource,
    Endian,
    GitSource,
    KernelConfig,
    KernelSource,
    Machine,
    MachineFamily,
    Matrix,
    NotDue,
    PatchedSource,
    Signature,
    Spec,
    StubPass,
    Tarball,
    TarballSource,
    Toolchain,
)
from oolong.spec.yamlfile import Value

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAKE_TARGET = re.compile(r"allnoconfig|[A-Za-z0-9][A-Za-z0-9_.-]*_defconfig")
SHA256 = re.compile(r"[0-9a-f]{64}")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://|[^/]+@[^/]+:")
GIT_SCHEMES = ("http://", "https://", "git://")
REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@^~{}+-]*")
SOURCE_KINDS = ("debian", "git", "tarball", "dir")
URL_SCHEMES = ("http://", "https://", "file:///")
SYMBOL = re.compile(r"[A-Za-z0-9_]+")
FAMILIES = ("gcc", "clang", "host", "emulator", "verifier")
COMPILERS = ("gcc", "clang")
AXES = ("endian", "config", "toolchain", "kernel", "machine")
SETTINGS = ("stub_pass", "expect")
EXPECTATIONS = ("ool", "regs")
# seconds for one command of a build, where pipeline.yaml has no limit of its own
BUILD_TIMEOUT = 4 * 3600


def load(layout: Layout) -> Spec:
    """Read the checkout's pipeline.yaml, its toolchains and the names of its config fragments."""
    file = _shown(layout, layout.pipeline)
    top = yamlfile.load(layout.pipeline, file=file).fields(
        required=("sources", "configs", "machines", "matrix", "sets"), optional=("defaults", "build")
    )
    toolchains = _toolchains(layout)
    sources = tuple(_source(layout, name, value) for name, value in _named(top["sources"]))
    configs = tuple(_config(layout, name, value) for name, value in _named(top["configs"]))
    emulators = [toolchain.name for toolchain in toolchains if toolchain.family == "emulator"]
    machines = tuple(_machine(name, value, emulators) for name, value in _named(top["machines"]))
    values = {
        "endian": [endian.value for endian in Endian],
        "config": [config.name for config in configs],
        "toolchain": [toolchain.name for toolchain in toolchains if toolchain.family in COMPILERS],
        "kernel": [source.name for source in sources],
        "machine": [machine.name for machine in machines],
        "stub_pass": [stub_pass.value for stub_pass in StubPass],
    }
    defaults = _combination(top["defaults"], values, (*AXES, *SETTINGS)).values if "defaults" in top else ()
    return Spec(
        file=file,
        sources=sources,
        configs=configs,
        machines=machines,
        toolchains=toolchains,
        endian_fragments=tuple((endian, _endian_fragment(layout, endian)) for endian in Endian),
        defaults=defaults,
        build_timeout=_build_timeout(top["build"]) if "build" in top else BUILD_TIMEOUT,
        matrix=_matrix(top["matrix"], values),
        sets=tuple(_set(name, value) for name, value in _named(top["sets"])),
    )


def load_toolchain(layout: Layout, path: Path) -> Toolchain:
    """Read one toolchains/NAME.yaml; its name is that of the file."""
    top = yamlfile.load(path, file=_shown(layout, path))
    optional = ("suites", "packages", "tarball", "without", "links", "prefixes", "llvm")
    fields = top.fields(required=("family",), optional=optional)
    family = fields["family"].choice(FAMILIES, "family")
    for name, owner in (("prefixes", "gcc"), ("llvm", "clang")):
        if (name in fields) != (family == owner):
            what = f"family {family!r} {'takes no' if name in fields else 'needs'} {name!r}"
            top.fail(what, f"{name!r} is for {owner!r}: see docs/extending.md")
    if ("packages" in fields) == ("tarball" in fields) or ("packages" in fields) != ("suites" in fields):
        top.fail("needs either 'suites' and 'packages', or 'tarball'")
    prefixes: list[tuple[Endian, str]] = []
    if "prefixes" in fields:
        for key, value in fields["prefixes"].entries():
            prefixes.append((Endian(key.choice(Endian, "endianness")), value.text()))
    return Toolchain(
        name=path.stem,
        family=family,
        suites=_filled(fields["suites"]) if "suites" in fields else (),
        packages=_filled(fields["packages"]) if "packages" in fields else (),
        tarball=_tarball(fields["tarball"].fields(required=("url", "sha256"))) if "tarball" in fields else None,
        without=_texts(fields["without"]) if "without" in fields else (),
        links=tuple((_link(key), value.text()) for key, value in fields["links"].entries())
        if "links" in fields
        else (),
        prefixes=tuple(prefixes),
        llvm=_llvm(fields["llvm"]) if "llvm" in fields else "",
    )


def _llvm(value: Value) -> str:
    """What LLVM= may be (Documentation/kbuild/llvm.rst): 1, a suffix like -22, or a folder with a slash at its end."""
    text = value.text()
    if not re.fullmatch(r"1|-[0-9]+|/.*/", text):
        value.fail(f"{text!r} is not what LLVM= takes", "1, a suffix like -22, or a folder like /usr/local/NAME/bin/")
    return text


def _tarball(fields: dict[str, Value]) -> Tarball:
    url, sha256 = fields["url"].text(), fields["sha256"].text()
    if not url.startswith(URL_SCHEMES):
        fields["url"].fail(f"{url!r} is not an http, https or file URL")
    if not SHA256.fullmatch(sha256):
        fields["sha256"].fail("must be a SHA-256: 64 hexadecimal digits", "sha256sum FILE prints it")
    return Tarball(url=url, sha256=sha256)


def _toolchains(layout: Layout) -> tuple[Toolchain, ...]:
    """Every toolchain of the checkout, by name."""
    folder = layout.toolchain("*").parent
    toolchains = tuple(load_toolchain(layout, path) for path in sorted(folder.glob(layout.toolchain("*").name)))
    hosts = [toolchain.name for toolchain in toolchains if toolchain.family == "host"]
    if len(hosts) != 1:
        what = f"one toolchain of the family 'host' is needed, there are {len(hosts)}"
        raise BadInput(what, where=_shown(layout, folder), hint=", ".join(hosts))
    return toolchains


def _source(layout: Layout, name: str, value: Value) -> KernelSource:
    fields = value.fields(optional=(*SOURCE_KINDS, "patches"))
    kinds = [kind for kind in SOURCE_KINDS if kind in fields]
    if len(kinds) != 1:
        value.fail(f"needs one of {', '.join(map(repr, SOURCE_KINDS))}")
    base = _base_source(layout, name, kinds[0], fields[kinds[0]])
    if "patches" not in fields:
        return base
    patches = tuple(_file(layout, item) for item in fields["patches"].items())
    return PatchedSource(name=name, base=base, patches=patches)


def _base_source(layout: Layout, name: str, kind: str, value: Value) -> BaseSource:
    if kind == "dir":
        return DirSource(name=name, path=_folder(layout, value))
    if kind == "debian":
        debian = value.fields(required=("suite", "package"))
        return DebianSource(name=name, suite=debian["suite"].text(), package=debian["package"].text())
    if kind == "git":
        git = value.fields(required=("url", "ref"))
        url, ref = git["url"].text(), git["ref"].text()
        if not REF.fullmatch(ref):
            git["ref"].fail(f"{ref!r} is no branch, tag or commit")
        if SCHEME.match(url) and not url.startswith(GIT_SCHEMES):
            git["url"].fail(f"{url!r} is not an http, https or git URL", "or clone it, and give the path of the clone")
        return GitSource(name=name, url=url if SCHEME.match(url) else str(_folder(layout, git["url"])), ref=ref)
    fields = value.fields(required=("url", "sha256"), optional=("signature",))
    signature = _signature(layout, fields["signature"]) if "signature" in fields else None
    return TarballSource(name=name, tarball=_tarball(fields), signature=signature)


def _signature(layout: Layout, value: Value) -> Signature:
    fields = value.fields(required=("url", "sha256", "keyring"))
    return Signature(file=_tarball(fields), keyring=_file(layout, fields["keyring"]))


def _config(layout: Layout, name: str, value: Value) -> KernelConfig:
    fields = value.fields(
        required=("base",), optional=("fragments", "required", "optional", "startup_tests", "modules", "not_due")
    )
    return KernelConfig(
        name=name,
        base=_base(layout, fields["base"]),
        fragments=tuple(_fragment(layout, item) for item in fields["fragments"].items())
        if "fragments" in fields
        else (),
        required=tuple(symbol(key, item) for key, item in fields["required"].entries()) if "required" in fields else (),
        startup_tests=_texts(fields["startup_tests"]) if "startup_tests" in fields else None,
        modules=fields["modules"].flag() if "modules" in fields else False,
        optional=_texts(fields["optional"]) if "optional" in fields else (),
        not_due=_not_due(fields["not_due"]) if "not_due" in fields else (),
    )


def _not_due(value: Value) -> tuple[NotDue, ...]:
    """A mapping from names and globs to reasons; whether there is something that they name, the catalogue says."""
    return tuple(NotDue(name=key.text(), reason=item.text(), where=key.where) for key, item in value.entries())


def _base(layout: Layout, value: Value) -> str | Path:
    text = value.text()
    if MAKE_TARGET.fullmatch(text):
        return text
    if "/" not in text and not text.endswith(".config"):
        value.fail(f"unknown base {text!r}", "allnoconfig, NAME_defconfig, or the path of a .config")
    return _file(layout, value)


def _fragment(layout: Layout, value: Value) -> Path:
    known = [path.stem for path in layout.configs.glob("*.config")]
    return layout.configs / f"{value.choice(known, 'config fragment')}.config"


def _endian_fragment(layout: Layout, endian: Endian) -> Path:
    path = layout.configs / f"{endian.value}.config"
    if not path.is_file():
        raise BadInput("missing: every endianness has a fragment", where=_shown(layout, path))
    return path


def symbol(key: Value, value: Value) -> tuple[str, str]:
    """A symbol of Kconfig, without CONFIG_, and its value."""
    name = key.text()
    if name.startswith("CONFIG_"):
        key.fail(f"{name!r} is written without CONFIG_")
    if not SYMBOL.fullmatch(name):
        key.fail(f"{name!r} is not the name of a symbol")
    return name, value.text()


def _machine(name: str, value: Value, emulators: Iterable[str]) -> Machine:
    fields = value.fields(
        required=("emulator", "machine", "cpu", "cpus", "memory", "cmdline", "timeout"), optional=("family", "not_due")
    )
    return Machine(
        name=name,
        emulator=fields["emulator"].choice(emulators, "emulator"),
        machine=fields["machine"].text(),
        cpu=fields["cpu"].text(),
        cpus=fields["cpus"].number(least=1, most=256),
        memory=fields["memory"].number(least=64, most=1 << 20),
        cmdline=fields["cmdline"].text(),
        timeout=fields["timeout"].number(least=1, most=24 * 3600),
        family=MachineFamily(fields["family"].choice(MachineFamily, "machine family"))
        if "family" in fields
        else MachineFamily.PSERIES,
        not_due=_not_due(fields["not_due"]) if "not_due" in fields else (),
    )


def _build_timeout(value: Value) -> int:
    return value.fields(required=("timeout",))["timeout"].number(least=1, most=7 * 24 * 3600)


def _matrix(value: Value, values: dict[str, list[str]]) -> Matrix:
    fields = value.fields(required=("axes",), optional=("exclude", "include"))
    axes = fields["axes"].fields(optional=AXES)
    return Matrix(
        axes=tuple(Axis(name=name, values=_axis(name, axis, values[name])) for name, axis in axes.items()),
        exclude=tuple(_combination(item, values, AXES) for item in fields["exclude"].items())
        if "exclude" in fields
        else (),
        include=tuple(_combination(item, values, (*AXES, *SETTINGS)) for item in fields["include"].items())
        if "include" in fields
        else (),
        where=value.where,
    )


def _axis(name: str, value: Value, known: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for item in value.items():
        choice = item.choice(known, name)
        if choice in found:
            item.fail(f"{choice!r} is here twice", f"the first one is at {found[choice]}")
        found[choice] = item.where
    if not found:
        value.fail("the axis is empty, and so is the matrix")
    return tuple(found)


def _combination(value: Value, values: dict[str, list[str]], keys: Iterable[str]) -> Combination:
    fields = value.fields(optional=keys)
    if not fields:
        value.fail("must not be empty")
    expected = fields.pop("expect").fields(optional=EXPECTATIONS) if "expect" in fields else {}
    named = tuple((key, item.choice(values[key], key)) for key, item in fields.items())
    switches = tuple((f"expect.{key}", "on" if item.switch() else "off") for key, item in expected.items())
    return Combination(values=(*named, *switches), where=value.where)


def _set(name: str, value: Value) -> CellSet:
    """A list of globs, or a mapping with `cells` and `link_both`."""
    if value.is_list:
        return CellSet(name=name, globs=_globs(value), link_both=False)
    fields = value.fields(required=("cells",), optional=("link_both",))
    link_both = fields["link_both"].flag() if "link_both" in fields else False
    return CellSet(name=name, globs=_globs(fields["cells"]), link_both=link_both)


def _globs(value: Value) -> tuple[tuple[str, str], ...]:
    globs = tuple((item.text(), item.where) for item in value.items())
    if not globs:
        value.fail("must not be empty")
    return globs


def _named(value: Value) -> list[tuple[str, Value]]:
    """The entries of a mapping from names, which become parts of cell names, file names and task names."""
    found: list[tuple[str, Value]] = []
    for key, item in value.entries():
        name = key.text()
        if not NAME.fullmatch(name):
            key.fail(f"{name!r} is not a name", "letters, digits, '.', '_' and '-', a letter or digit first")
        found.append((name, item))
    if not found:
        value.fail("must not be empty")
    return found


def _texts(value: Value) -> tuple[str, ...]:
    return tuple(item.text() for item in value.items())


def _filled(value: Value) -> tuple[str, ...]:
    if not (texts := _texts(value)):
        value.fail("must not be empty")
    return texts


def _link(key: Value) -> str:
    """The place of a symlink below the root."""
    text = key.text()
    if text.startswith("/") or ".." in text.split("/"):
        key.fail(f"{text!r} is not a path below the root", "like usr/bin/awk")
    return text


def _path(layout: Layout, value: Value) -> Path:
    """An absolute path, from one that is relative to the checkout, absolute, or begins with `~`."""
    return layout.checkout / os.path.expanduser(value.text())


def _folder(layout: Layout, value: Value) -> Path:
    path = _path(layout, value)
    if not path.is_dir():
        value.fail(f"no such folder: {path}")
    return path


def _file(layout: Layout, value: Value) -> Path:
    path = _path(layout, value)
    if not path.is_file():
        near = did_you_mean(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""
        value.fail(f"no such file: {path}", near)
    return path


def _shown(layout: Layout, path: Path) -> str:
    """How errors name a file: relative to the checkout when it is below it."""
    return str(path.relative_to(layout.checkout)) if path.is_relative_to(layout.checkout) else str(path)
