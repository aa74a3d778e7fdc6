"""A toolchain that is a tarball, as kernel.org has them: a real cross gcc 14 of the cache, packed anew."""

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.checkout import Checkout, root_with
from tests.loopback import Mirror

LE, BE = "powerpc64le-linux-gnu", "powerpc64-linux-gnu"
SUFFIXES: Mapping[str, str] = {LE: "ppc64el", BE: "ppc64"}
LIBRARIES = "usr/lib/x86_64-linux-gnu"
TOP = "gcc-14-nolibc"


def pack(archive: Path, targets: Sequence[str], *, wrapper: str = "") -> Path:
    """gcc 14 in the layout of a crosstool: one folder at the top, with bin/, lib/, libexec/. A `wrapper` is a script in
    the place of gcc, which is then called as the script's own name with `-real`."""
    usr = root_with(*(f"bin/{target}-gcc-14" for target in targets))
    with tarfile.open(archive, "w") as out:
        for target in targets:
            for name in ("gcc-14", "as", "ld", "ld.bfd", "objdump", "objcopy", "nm"):
                as_called = name.removesuffix("-14") + ("-real" if wrapper and name == "gcc-14" else "")
                out.add(usr / "bin" / f"{target}-{name}", f"{TOP}/bin/{target}-{as_called}")
            if wrapper:
                script = tarfile.TarInfo(f"{TOP}/bin/{target}-gcc")
                script.size, script.mode = len(wrapper.encode()), 0o755
                out.addfile(script, io.BytesIO(wrapper.encode()))
            for folder in (f"lib/gcc-cross/{target}", f"libexec/gcc-cross/{target}", target):
                out.add(usr / folder, f"{TOP}/{folder}")
            for library in sorted((usr / "lib" / "x86_64-linux-gnu").glob(f"*-{SUFFIXES[target]}.so*")):
                out.add(library, f"{TOP}/lib/{library.name}")
    return archive


def use(checkout: Checkout, server: Mirror, tarball: Path, prefixes: Mapping[str, str]) -> str:
    """Add the toolchain `crosstool`, and a cell for each endianness of `prefixes`, which has its target; returns its
    SHA-256."""
    data = tarball.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    with tarfile.open(tarball) as archive:
        names = [Path(name).name for name in archive.getnames() if f"{TOP}/lib/lib" in name]
    links = "".join(f"  {LIBRARIES}/{name}: ../../local/crosstool/lib/{name}\n" for name in names)
    tools = "".join(f"  {endian}: /usr/local/crosstool/bin/{target}-\n" for endian, target in prefixes.items())
    (checkout.folder / "toolchains" / "crosstool.yaml").write_text(
        "family: gcc\n"
        f'tarball: {{url: "{server.serve("/crosstool.tar", data)}", sha256: {sha256}}}\n'
        f"prefixes:\n{tools}links:\n{links}"
    )
    pipeline = checkout.folder / "pipeline.yaml"
    cell = "toolchain: crosstool, config: minimal, kernel: v7.3.4, machine: pseries"
    cells = "".join(f"    - {{endian: {endian}, {cell}}}\n" for endian in prefixes)
    pipeline.write_text(pipeline.read_text().replace("  include:\n", f"  include:\n{cells}"))
    return sha256
