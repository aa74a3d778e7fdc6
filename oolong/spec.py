"""pipeline.yaml and toolchains/*.yaml → the frozen types of oolong.model; the first step of the picture.

Everything that a file names is checked here: whatever is not known, missing, twice there or of the wrong kind is
BadInput with `file:line:column` and the nearest valid name.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from oolong import yamlfile
from oolong.errors import BadInput
from oolong.layout import Layout
from oolong.model import (
    Axis,
    CellSet,
    Combination,
    DebianSource,
    DirSource,
    Endian,
    KernelConfig,
    KernelSource,
    Machine,
    Matrix,
    PatchedSource,
    Spec,
    StubPass,
    Toolchain,
)
from oolong.nearest import did_you_mean
from oolong.yamlfile import Value

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAKE_TARGET = re.compile(r"allnoconfig|[A-Za-z0-9][A-Za-z0-9_.-]*_defconfig")
SYMBOL = re.compile(r"[A-Za-z0-9_]+")
FAMILIES = ("gcc", "host", "emulator")
AXES = ("endian", "config", "toolchain", "kernel", "machine")
SETTINGS = ("stub_pass",)


def load(layout: Layout) -> Spec:
    """Read the checkout's pipeline.yaml, its toolchains and the names of its config fragments."""
    file = _shown(layout, layout.pipeline)
    top = yamlfile.load(layout.pipeline, file=file).fields(
        required=("sources", "configs", "machines", "matrix", "sets"), optional=("defaults",)
    )
    toolchains = _toolchains(layout)
    sources = tuple(_source(layout, name, value) for name, value in _named(top["sources"]))
    configs = tuple(_config(layout, name, value) for name, value in _named(top["configs"]))
    emulators = [toolchain.name for toolchain in toolchains if toolchain.family == "emulator"]
    machines = tuple(_machine(name, value, emulators) for name, value in _named(top["machines"]))
    values = {
        "endian": [endian.value for endian in Endian],
        "config": [config.name for config in configs],
        "toolchain": [toolchain.name for toolchain in toolchains if toolchain.family not in ("host", "emulator")],
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
        matrix=_matrix(top["matrix"], values),
        sets=tuple(_set(name, value) for name, value in _named(top["sets"])),
    )


def load_toolchain(layout: Layout, path: Path) -> Toolchain:
    """Read one toolchains/NAME.yaml; its name is that of the file."""
    fields = yamlfile.load(path, file=_shown(layout, path)).fields(
        required=("family", "suites", "packages"), optional=("without", "links", "prefixes")
    )
    prefixes: list[tuple[Endian, str]] = []
    if "prefixes" in fields:
        for key, value in fields["prefixes"].entries():
            prefixes.append((Endian(key.choice(Endian, "endianness")), value.text()))
    return Toolchain(
        name=path.stem,
        family=fields["family"].choice(FAMILIES, "family"),
        suites=_filled(fields["suites"]),
        packages=_filled(fields["packages"]),
        without=_texts(fields["without"]) if "without" in fields else (),
        links=tuple((_link(key), value.text()) for key, value in fields["links"].entries())
        if "links" in fields
        else (),
        prefixes=tuple(prefixes),
    )


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
    fields = value.fields(optional=("debian", "dir", "patches"))
    if ("debian" in fields) == ("dir" in fields):
        value.fail("needs one of 'debian' and 'dir'")
    base: DebianSource | DirSource
    if "debian" in fields:
        debian = fields["debian"].fields(required=("suite", "package"))
        base = DebianSource(name=name, suite=debian["suite"].text(), package=debian["package"].text())
    else:
        path = _path(layout, fields["dir"])
        if not path.is_dir():
            fields["dir"].fail(f"no such folder: {path}")
        base = DirSource(name=name, path=path)
    if "patches" not in fields:
        return base
    patches = tuple(_file(layout, item) for item in fields["patches"].items())
    return PatchedSource(name=name, base=base, patches=patches)


def _config(layout: Layout, name: str, value: Value) -> KernelConfig:
    fields = value.fields(required=("base",), optional=("fragments", "required", "startup_tests", "modules"))
    return KernelConfig(
        name=name,
        base=_base(layout, fields["base"]),
        fragments=tuple(_fragment(layout, item) for item in fields["fragments"].items())
        if "fragments" in fields
        else (),
        required=tuple(_symbol(key, item) for key, item in fields["required"].entries())
        if "required" in fields
        else (),
        startup_tests=_texts(fields["startup_tests"]) if "startup_tests" in fields else None,
        modules=fields["modules"].flag() if "modules" in fields else False,
    )


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


def _symbol(key: Value, value: Value) -> tuple[str, str]:
    symbol = key.text()
    if symbol.startswith("CONFIG_"):
        key.fail(f"{symbol!r} is written without CONFIG_")
    if not SYMBOL.fullmatch(symbol):
        key.fail(f"{symbol!r} is not the name of a symbol")
    return symbol, value.text()


def _machine(name: str, value: Value, emulators: Iterable[str]) -> Machine:
    fields = value.fields(required=("emulator", "machine", "cpu", "cpus", "memory", "cmdline", "timeout"))
    return Machine(
        name=name,
        emulator=fields["emulator"].choice(emulators, "emulator"),
        machine=fields["machine"].text(),
        cpu=fields["cpu"].text(),
        cpus=fields["cpus"].number(least=1, most=256),
        memory=fields["memory"].number(least=64, most=1 << 20),
        cmdline=fields["cmdline"].text(),
        timeout=fields["timeout"].number(least=1, most=24 * 3600),
    )


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
    return Combination(
        values=tuple((key, item.choice(values[key], key)) for key, item in fields.items()), where=value.where
    )


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


def _file(layout: Layout, value: Value) -> Path:
    path = _path(layout, value)
    if not path.is_file():
        near = did_you_mean(path.name, (entry.name for entry in path.parent.iterdir())) if path.parent.is_dir() else ""
        value.fail(f"no such file: {path}", near)
    return path


def _shown(layout: Layout, path: Path) -> str:
    """How errors name a file: relative to the checkout when it is below it."""
    return str(path.relative_to(layout.checkout)) if path.is_relative_to(layout.checkout) else str(path)
