"""A cell made by hand, and a machine."""

from pathlib import Path

from oolong.spec.model import Cell, DebianSource, Endian, KernelConfig, Machine, StubPass, Toolchain


def cell(endian: Endian = Endian.LE, base: str | Path = "allnoconfig") -> Cell:
    return Cell(
        name=f"{endian}-minimal-gcc-14",
        build=f"{endian}-minimal-gcc-14",
        endian=endian,
        config=KernelConfig(name="minimal", base=base, fragments=(), required=(), startup_tests=None, modules=False),
        toolchain=Toolchain(
            name="gcc-14",
            family="gcc",
            suites=("trixie",),
            packages=(),
            without=(),
            links=(),
            prefixes=((Endian.LE, "powerpc64le-linux-gnu-"), (Endian.BE, "powerpc64-linux-gnu-")),
        ),
        kernel=DebianSource(name="v7.3.4", suite="trixie-backports", package="linux-source-7.3"),
        machine=Machine(
            name="pseries", emulator="qemu", machine="pseries", cpu="power9", cpus=2, memory=512, cmdline="", timeout=60
        ),
        stub_pass=StubPass.OOLONG,
        link_both=False,
        build_timeout=3600,
    )


MACHINE = Machine(
    name="pseries",
    emulator="qemu",
    machine="pseries,x-vof=on",
    cpu="POWER9",
    cpus=2,
    memory=1024,
    cmdline="console=hvc0",
    timeout=60,
)
