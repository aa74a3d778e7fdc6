"""The kernel's own build as command lines (pure): configure, compile to vmlinux.o, link, modules.

Everything here is as seen inside the sandbox, where the kernel is at /src and its object tree at /build, so that
no path of the host reaches an object.
"""

from collections.abc import Mapping

from oolong.host.sandbox import BUILD, CCACHE, ON_MISS, SRC, TRUSTED_CCACHE
from oolong.spec.model import Cell, Endian

REQUEST, REQUESTED = "/request", "requested.config"
STUBS = "/stubs"
STUB_SOURCE = "arch/powerpc/tools/vmlinux.arch.S"
STUB_SCRIPT = "arch/powerpc/tools/ftrace-gen-ool-stubs.sh"
TOOLS = "arch/powerpc/tools"
# in the source: what the symbol of out-of-line ftrace depends on
KCONFIG = "arch/powerpc/Kconfig"
# in the object tree: what the linker is given, as the preprocessor leaves it
LINKER_SCRIPT = "arch/powerpc/kernel/vmlinux.lds"
# in the object tree: an object in assembly that every kernel with out-of-line ftrace has
ASSEMBLED = "arch/powerpc/kernel/trace/ftrace_entry.o"
# where the audit sees the linked kernel
VMLINUX = "/vmlinux"
# what looks at the compiler for ARCH_USING_PATCHABLE_FUNCTION_ENTRY (arch/powerpc/Kconfig), now and in older releases
PROBES = "check-fpatchable-function-entry.sh", "gcc-check-fpatchable-function-entry.sh"
# the object that has all of ftrace's structures, and what the preprocessor makes of its source
FTRACE_OBJECT, FTRACE_MACROS = "kernel/trace/ftrace.o", "kernel/trace/ftrace.i"
# where the stage `tree` tries commands, and the objdump that it gives to make, which tells of its calls
TRIAL, TELLING = "/trial", "/telling"
OBJDUMP = f"{TELLING}/objdump"
# the configuration of a 32-bit kernel, which the caller puts there, and the code that stubs have of their own
NARROW_REQUEST, TRACE_FOLDER = f"{TRIAL}/narrow.config", "arch/powerpc/kernel/trace/"
# where the sources of the guest's own modules are, and the folder of the object tree that they are built in
GUEST_MODULE, GUEST_MODULE_TREE = "/module", "oolong"

# What the kernel would otherwise take from the machine, the clock and the person (scripts/mkcompile_h,
# init/Makefile, Documentation/kbuild/reproducible-builds.rst).
FIXED_ENV: Mapping[str, str] = {
    "KBUILD_BUILD_USER": "oolong",
    "KBUILD_BUILD_HOST": "build",
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_VERSION": "1",
    "SOURCE_DATE_EPOCH": "0",
}

# Symbols that no cell may choose: they would let a version control system or a person into the release string.
FIXED_CONFIG = 'CONFIG_LOCALVERSION=""\n# CONFIG_LOCALVERSION_AUTO is not set\n'


def ccache_env(tools: str) -> dict[str, str]:
    """ccache's settings, which decide no output: `tools`, a digest of all that lies in the rootfs, stands for the
    compiler, since ccache's own check sees only the gcc driver."""
    return {
        "CCACHE_DIR": CCACHE,
        "CCACHE_COMPILERCHECK": f"string:{tools}",
        "CCACHE_MAXSIZE": "10G",
        "CCACHE_NOSTATS": "1",
        "CCACHE_UMASK": "022",
    }


# what the read-only ccache runs where it lacks a result: the compiler, through a ccache that may be written. The first
# one sees the command line of a trusted build, so that it finds what those left
MISSED = f"""#!/bin/sh
unset CCACHE_DISABLE CCACHE_PREFIX CCACHE_READONLY CCACHE_TEMPDIR
CCACHE_DIR={CCACHE} exec ccache "$@"
"""


def untrusted_ccache_env(tools: str) -> dict[str, str]:
    """The settings for a build that may read what trusted builds left, and write to another ccache alone."""
    return {
        **ccache_env(tools),
        "CCACHE_DIR": TRUSTED_CCACHE,
        "CCACHE_READONLY": "1",
        "CCACHE_TEMPDIR": "/tmp/ccache",
        "CCACHE_PREFIX": ON_MISS,
    }


def make(cell: Cell, *words: str) -> tuple[str, ...]:
    """The make command line of a cell; `words` are targets and variables."""
    return (
        "make",
        "-C", SRC,
        f"O={BUILD}",
        "ARCH=powerpc",
        *_compilers(cell),
        "LOCALVERSION=",
        *words,
    )  # fmt: skip


def configure(cell: Cell) -> tuple[tuple[str, ...], ...]:
    """The commands that turn the request at /request into /build/.config.

    With the base allnoconfig one reading of Kconfig does it all. Otherwise the base comes first, the request is
    applied to its .config by the caller, and olddefconfig settles the rest.
    """
    if cell.config.base == "allnoconfig":
        return (make(cell, f"KCONFIG_ALLCONFIG={REQUEST}/{REQUESTED}", "allnoconfig"),)
    settle = make(cell, "olddefconfig")
    return (settle,) if not isinstance(cell.config.base, str) else (make(cell, cell.config.base), settle)


def compile_argv(cell: Cell) -> tuple[str, ...]:
    """All objects, joined into vmlinux.o: where the stubs are counted."""
    return make(cell, "vmlinux_o")


def link(cell: Cell, *, our_stubs: bool) -> tuple[str, ...]:
    """The final link. `our_stubs` puts our .S in the place of what the tree's rule would generate, by overriding
    the recipe of that one rule (arch/powerpc/tools/Makefile), so that no tree is patched."""
    override = (f"cmd_gen_ftrace_ool_stubs=cp {STUBS}/vmlinux.arch.S $@",) if our_stubs else ()
    return make(cell, *override, "vmlinux")


def offsets(cell: Cell) -> tuple[tuple[str, ...], ...]:
    """One object with all of its debug information in it, and the macros that its source sees.

    CFLAGS_ftrace.o (Documentation/kbuild/makefiles.rst, "Compilation flags") is what reaches this object alone, so that
    make finds all else as it is; it comes last, so that it outweighs what the configuration says of debug information
    (scripts/Makefile.debug: REDUCED, SPLIT, COMPRESSED).
    """
    flags = ["-gdwarf-4", "-gno-split-dwarf", "-gz=none"]
    if not is_clang(cell):
        flags.append("-femit-struct-debug-detailed=any")
    return (
        make(cell, f"CFLAGS_ftrace.o={' '.join(flags)}", FTRACE_OBJECT),
        make(cell, "CFLAGS_ftrace.o=-dM", FTRACE_MACROS),
    )


def modules(cell: Cell) -> tuple[tuple[str, ...], ...]:
    """The modules that the configuration asks for, from the tree that vmlinux.o was compiled in, and those that
    are the guest's own (M= and MO=: Documentation/kbuild/modules.rst)."""
    return (make(cell, "modules"), make(cell, f"M={GUEST_MODULE}", f"MO={BUILD}/{GUEST_MODULE_TREE}", "modules"))


def tree_script(cell: Cell, *, reserve: str) -> tuple[str, ...]:
    """The tree's own counting script on /build/vmlinux.o, with the arguments its Makefile gives it."""
    objdump = tool(cell, binutil(cell, "objdump"))
    return (f"{SRC}/{STUB_SCRIPT}", reserve, "y", objdump, f"{BUILD}/vmlinux.o", "/out/vmlinux.arch.S")


def post_link_scripts(cell: Cell, config: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The kernel's own checks of the linked image at VMLINUX, by the name of the script, as its
    arch/powerpc/Makefile.postlink runs them for a configuration."""
    nm, objdump = tool(cell, binutil(cell, "nm")), tool(cell, binutil(cell, "objdump"))
    scripts: dict[str, tuple[str, ...]] = {}
    if config.get("PPC64") == "y":
        scripts["head_check.sh"] = (nm,)
    if config.get("RELOCATABLE") == "y":
        scripts["relocs_check.sh"] = objdump, nm
        if config.get("PPC_BOOK3S_64") == "y":
            scripts["unrel_branch_check.sh"] = objdump, nm
    if config.get("FUNCTION_TRACER") == "y" and config.get("PPC64_ELF_ABI_V1") != "y":
        scripts["ftrace_check.sh"] = (nm,)
    return {name: ("bash", f"{SRC}/{TOOLS}/{name}", *words, VMLINUX) for name, words in scripts.items()}


def probe(cell: Cell, script: str) -> tuple[str, ...]:
    """The tree's own look at whether a compiler is fit for out-of-line ftrace, with the flags that make it compile for
    the cell; `script` is one of PROBES."""
    order = "-mlittle-endian" if cell.endian is Endian.LE else "-mbig-endian"
    compiler = (tool(cell, "clang"), f"--target={clang_target(cell)}") if is_clang(cell) else (tool(cell, "gcc"),)
    return ("bash", f"{SRC}/{TOOLS}/{script}", *compiler, order)


def told_link(cell: Cell, *, traced: bool = False) -> tuple[str, ...]:
    """The final link by the tree's own rule, with an objdump that tells of its calls; `traced` says of each recipe
    where it stands (GNU make manual, "Summary of Options")."""
    return make(cell, f"OBJDUMP={OBJDUMP}", *(["--trace"] if traced else []), "vmlinux")


def without_modules(cell: Cell) -> tuple[tuple[str, ...], ...]:
    """What turns a configured object tree into one without modules, and compiles the stubs' own code."""
    unset = ("sed", "-i", "s/^CONFIG_MODULES=y$/# CONFIG_MODULES is not set/", f"{BUILD}/.config")
    return (unset, make(cell, "olddefconfig"), make(cell, TRACE_FOLDER))


def narrow(cell: Cell) -> tuple[tuple[str, ...], ...]:
    """What makes the object tree that of a 32-bit kernel by NARROW_REQUEST, as far as makefiles see it (they read
    auto.conf, which has those lines of .config that set a symbol); nothing is compiled."""
    settled = ("cp", f"{BUILD}/.config", f"{BUILD}/include/config/auto.conf")
    return (make(cell, f"KCONFIG_ALLCONFIG={NARROW_REQUEST}", "allnoconfig"), settled)


def link_rules() -> tuple[str, ...]:
    """The rules of the final link as make reads them for a configured object tree; nothing is made."""
    link = f"{SRC}/scripts/Makefile.vmlinux"
    return ("make", "-C", BUILD, "-f", link, "-np", f"srctree={SRC}", "SRCARCH=powerpc", "FORCE")


def clean(cell: Cell) -> tuple[str, ...]:
    """Away with what was built, but for the configuration."""
    return make(cell, "clean")


def assemble_alone(cell: Cell, source: str, target: str) -> tuple[str, ...]:
    """A file of assembly that needs none of the kernel's flags."""
    compiler = (tool(cell, "clang"), f"--target={clang_target(cell)}") if is_clang(cell) else (tool(cell, "gcc"),)
    return (*compiler, "-c", "-o", target, source)


def look_for_warnings(source: str) -> tuple[str, ...]:
    """What GNU as says of preprocessed assembly: that of the build machine, since clang's own never warns of an empty
    space; the files looked at hold no instruction."""
    return ("as", "--fatal-warnings", "-o", "/dev/null", source)


def clang_target(cell: Cell) -> str:
    return "powerpc64le-linux-gnu" if cell.endian is Endian.LE else "powerpc64-linux-gnu"


def binutil(cell: Cell, name: str) -> str:
    """What nm or objdump is called among the tools of the cell's compiler."""
    return f"llvm-{name}" if is_clang(cell) else name


def tool(cell: Cell, name: str) -> str:
    """The program that is the cell's gcc or objdump, or its clang, ld.lld or llvm-objdump."""
    if not is_clang(cell):
        return f"{dict(cell.toolchain.prefixes)[cell.endian]}{name}"
    llvm = cell.toolchain.llvm
    return f"{llvm}{name}" if llvm.endswith("/") else f"{name}{llvm.removeprefix('1')}"


def is_clang(cell: Cell) -> bool:
    return cell.toolchain.family == "clang"


def _compilers(cell: Cell) -> tuple[str, ...]:
    """What tells Kbuild its compilers, for the kernel and for programs of the build machine.

    clang needs no seed, since no output of it depends on one, and it would warn.
    """
    if is_clang(cell):
        clang = f"ccache {tool(cell, 'clang')}"
        return (f"LLVM={cell.toolchain.llvm}", f"CC={clang}", f"HOSTCC={clang}")
    gcc = f"ccache {tool(cell, 'gcc')}"
    return (f"CROSS_COMPILE={tool(cell, '')}", f"CC={gcc}", "HOSTCC=ccache gcc", "KCFLAGS=-frandom-seed=oolong")
