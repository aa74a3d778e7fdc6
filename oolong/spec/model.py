"""The frozen types that pipeline.yaml and toolchains/ are parsed into; every other module reads these.

Paths inside them are absolute host paths; everything else is data that may enter a recipe.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

# the symbol of Kconfig that all is about
OUT_OF_LINE = "PPC_FTRACE_OUT_OF_LINE"


class Endian(StrEnum):
    """Byte order of a cell; the value is what stands in cell names."""

    LE = "le"
    BE = "be"


class MachineFamily(StrEnum):
    """What a QEMU machine is a model of: it decides the guest's terminals and its map of memory."""

    PSERIES = "pseries"
    POWERNV = "powernv"


class StubPass(StrEnum):
    """Who counts the stubs before the final link: oolong, or the kernel tree's own script."""

    OOLONG = "oolong"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One locked Debian package; `path` is relative to the archive's root, `size` in bytes."""

    name: str
    version: str
    arch: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tarball:
    """An archive at a URL, known by its SHA-256."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """toolchains/NAME.yaml: what is asked for. `family` is `gcc`, `clang`, `host` (kbuild), `emulator` (qemu) or
    `verifier` (gpgv).

    It comes as Debian packages, or as a `tarball` (kernel.org's crosstool and LLVM builds) that is unpacked to
    usr/local/NAME. `prefixes` maps an endianness to CROSS_COMPILE (gcc); `llvm` is what Kbuild's LLVM= is set to
    (clang); `links` are symlinks to add to the rootfs (path below the root -> link text); `without` are packages of
    the closure that are left out.
    """

    name: str
    family: str
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    without: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    prefixes: tuple[tuple[Endian, str], ...]
    llvm: str = ""
    tarball: Tarball | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianSource:
    """A kernel source that Debian ships as a binary package holding one tarball (`linux-source-7.3`)."""

    name: str
    suite: str
    package: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DirSource:
    """A kernel tree on this machine: a git checkout (tracked and unignored files as they stand) or a plain tree."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """A commit of a git repository: `url` is http, https, git, or the absolute path of a folder; `ref` is a branch, a
    tag or a commit. A full commit name stands for itself, anything else is locked."""

    name: str
    url: str
    ref: str

    @property
    def is_pinned(self) -> bool:
        return len(self.ref) in (40, 64) and not set(self.ref) - set("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A detached OpenPGP signature of the uncompressed archive, as kernel.org has them, and the keys to trust: a
    keyring as `gpg --export` writes it."""

    file: Tarball
    keyring: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TarballSource:
    """A kernel source as an archive with one folder at its top."""

    name: str
    tarball: Tarball
    signature: Signature | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedSource:
    """Another source with patches applied to a copy, in order."""

    name: str
    base: "BaseSource"
    patches: tuple[Path, ...]


BaseSource = DebianSource | DirSource | GitSource | TarballSource
KernelSource = BaseSource | PatchedSource


def base_of(source: KernelSource) -> BaseSource:
    """The source without its patches."""
    return source.base if isinstance(source, PatchedSource) else source


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDue:
    """What a config or a machine need not have been looked at: the name of a check, stop, section or test, or a glob
    over some, and the reason; `where` is its `file:line:column`, for errors."""

    name: str
    reason: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelConfig:
    """What .config is made from, and the symbols it must end up with.

    `base` is a make target (`allnoconfig`, `ppc64le_guest_defconfig`) or the path of a whole .config;
    `fragments` are merged over it in order; `required` are (symbol without CONFIG_, value) pairs that must hold
    in the result besides all that the fragments ask for (value `n` means not set), less what is `optional`: symbols
    that not every kernel has.
    `startup_tests` are the FTRACE_STARTUP_TEST titles that this config must print, in order; None means that
    they are not known, and whatever is printed must pass. A string's value in `required` is without quotes.
    """

    name: str
    base: str | Path
    fragments: tuple[Path, ...]
    required: tuple[tuple[str, str], ...]
    startup_tests: tuple[str, ...] | None
    modules: bool
    optional: tuple[str, ...] = ()
    not_due: tuple[NotDue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A QEMU machine. `emulator` is the name of a toolchain of the family `emulator`; `cpus` are virtual CPUs, `memory`
    is in MiB, `timeout` in seconds of QEMU's CPU time."""

    name: str
    emulator: str
    machine: str
    cpu: str
    cpus: int
    memory: int
    cmdline: str
    timeout: int
    family: MachineFamily = MachineFamily.PSERIES
    not_due: tuple[NotDue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What a cell declares to come out; None leaves it to the config. `ool`: whether out-of-line ftrace is on; `regs`:
    whether ftrace hands registers to who asks for them, which the startup test `ftrace regs` tries."""

    ool: bool | None = None
    regs: bool | None = None

    def as_json(self) -> dict[str, str]:
        """What is declared, `on` or `off`."""
        switches = {"ool": self.ool, "regs": self.regs}
        return {name: "on" if on else "off" for name, on in switches.items() if on is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the matrix. `name` is unique in a run and safe as a file name and a doit task name; `build` names
    what it shares with the cells that differ from it in their machine alone. `build_timeout` is the limit for one
    command of a build, in seconds of wall clock."""

    name: str
    build: str
    endian: Endian
    config: KernelConfig
    toolchain: Toolchain
    kernel: KernelSource
    machine: Machine
    stub_pass: StubPass
    link_both: bool
    build_timeout: int
    expect: Expect = Expect()

    @property
    def axes(self) -> dict[str, str]:
        """Where in the matrix it is: the name of its value on each axis."""
        return {
            "endian": self.endian.value,
            "config": self.config.name,
            "toolchain": self.toolchain.name,
            "kernel": self.kernel.name,
            "machine": self.machine.name,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Axis values and settings by name, in order; an exclusion, an inclusion or what they leave of the product.

    `where` is its `file:line:column`, for errors.
    """

    values: tuple[tuple[str, str], ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One dimension of the matrix and its values, in order."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What the cells are made from; `where` is the `file:line:column` of the section."""

    axes: tuple[Axis, ...]
    exclude: tuple[Combination, ...]
    include: tuple[Combination, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSet:
    """A named choice of cells: globs over their names, each with its `file:line:column`.

    `link_both`: link with both stub passes and compare.
    """

    name: str
    globs: tuple[tuple[str, str], ...]
    link_both: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line puts in the place of the matrix's own values; None or empty leaves them alone."""

    kernel: DirSource | None = None
    config: KernelConfig | None = None
    patches: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """pipeline.yaml with everything that it names.

    `file` is its name in errors; `endian_fragments` are merged right after a config's base;
    `defaults` are the axis values and settings of cells that do not say otherwise; `build_timeout` is in seconds.
    """

    file: str
    sources: tuple[KernelSource, ...]
    configs: tuple[KernelConfig, ...]
    machines: tuple[Machine, ...]
    toolchains: tuple[Toolchain, ...]
    endian_fragments: tuple[tuple[Endian, Path], ...]
    defaults: tuple[tuple[str, str], ...]
    build_timeout: int
    matrix: Matrix
    sets: tuple[CellSet, ...]
    overrides: Overrides = Overrides()

    def toolchain(self, name: str) -> Toolchain:
        """The toolchain of that name; it exists, since every name was checked when the file was read."""
        return next(toolchain for toolchain in self.toolchains if toolchain.name == name)
