"""Command lines that are pure functions of a cell."""

import itertools
import re
from dataclasses import replace

from oolong.host.layout import Layout
from oolong.machine import guest, qemu, stops
from oolong.machine.family import FAMILIES
from oolong.spec import pipeline_yaml
from oolong.spec.model import Endian, MachineFamily
from oolong.stages.modules import depends
from tests.cells import MACHINE, cell
from tests.support import CHECKOUT


def test_a_machine_ends_with_its_guest_and_has_no_network() -> None:
    argv = qemu.argv(MACHINE, append="console=hvc0 -- x=y")
    pairs = dict(itertools.pairwise(argv))
    assert argv[0] == "qemu-system-ppc64"
    assert {"-nodefaults", "-no-reboot", "-no-user-config"} <= set(argv)
    assert pairs["-machine"] == "pseries,x-vof=on"
    assert (pairs["-cpu"], pairs["-smp"], pairs["-m"]) == ("POWER9", "2", "1024")
    assert (pairs["-kernel"], pairs["-initrd"]) == ("/boot/vmlinux", "/boot/initramfs")
    assert pairs["-append"] == "console=hvc0 -- x=y"
    assert not any("net" in word for word in argv)


def test_a_machine_that_is_looked_at_stands_until_it_is_told_and_has_a_second_terminal() -> None:
    plain = qemu.argv(MACHINE, append="x")
    argv = qemu.argv(MACHINE, append="x", lines=qemu.Lines(monitor="7", debugger="9"))
    assert argv[: len(plain)] == plain
    added = argv[len(plain) :]
    assert "-S" in added
    assert {"socket,id=monitor,fd=7", "socket,id=debugger,fd=9", "file,id=report,path=/memory/report"} <= set(added)
    pairs = dict(itertools.pairwise(added))
    assert (pairs["-mon"], pairs["-gdb"]) == ("chardev=monitor,mode=control", "chardev:debugger")
    assert pairs["-device"] == "spapr-vty,chardev=report"


PSERIES_ARGV = (
    "qemu-system-ppc64 -nodefaults -no-user-config -display none -serial stdio -no-reboot -machine pseries,x-vof=on "
    "-cpu POWER9 -smp 2 -m 1024 -kernel /boot/vmlinux -initrd /boot/initramfs -append x -S "
    "-action panic=pause,shutdown=pause "
    "-chardev socket,id=monitor,fd=7 -mon chardev=monitor,mode=control -chardev socket,id=debugger,fd=9 "
    "-gdb chardev:debugger -chardev file,id=report,path=/memory/report -device spapr-vty,chardev=report"
)


def test_the_argv_of_pseries_word_for_word() -> None:
    argv = qemu.argv(MACHINE, append="x", lines=qemu.Lines(monitor="7", debugger="9"))
    assert argv == tuple(PSERIES_ARGV.split())


def test_every_family_has_a_row() -> None:
    assert set(FAMILIES) == set(MachineFamily)


def test_a_family_without_a_report_channel_gives_its_guest_no_second_terminal() -> None:
    assert FAMILIES[MachineFamily.POWERNV].report is None
    machine = replace(MACHINE, family=MachineFamily.POWERNV)
    argv = qemu.argv(machine, append="x", lines=qemu.Lines(monitor="7", debugger="9"))
    assert "-S" in argv
    assert not any("report" in word or "spapr" in word for word in argv)


def test_one_archive_serves_the_machines_of_all_families() -> None:
    init = (CHECKOUT / "guest" / guest.INIT_SOURCE).read_text()
    named = re.search(r'^#define REPORT "(.+)"$', init, re.MULTILINE)
    assert named
    nodes = [line.split()[1] for line in guest.contents([]).splitlines() if line.startswith("nod ")]
    assert len(nodes) == len(set(nodes))
    assert {named[1], *(family.report.node for family in FAMILIES.values() if family.report)} <= set(nodes)
    assert f"nod {named[1]} 0600 0 0 c 229 1\n" in guest.contents([])


def test_the_machines_of_the_project_put_their_console_where_their_family_has_it() -> None:
    layout = Layout(checkout=CHECKOUT, cache=CHECKOUT / "no-cache")
    for machine in pipeline_yaml.load(layout).machines:
        assert f"console={FAMILIES[machine.family].console.kernel_name}" in machine.cmdline.split()


def test_the_guest_is_told_what_to_expect_after_the_double_dash() -> None:
    words = guest.arguments(release="7.3.4", endian="be", kprobes="trap").split()
    assert words[words.index("--") + 1 :] == ["release=7.3.4", "endian=be", "kprobes=trap"]
    assert "printk.devkmsg=on" in words[: words.index("--")]


def test_the_guest_is_told_which_functions_to_probe() -> None:
    told = guest.arguments(release="7.3.4", endian="be", kprobes="trap", probes=("read_pir", "kfree"))
    assert told.split()[-1] == "probes=read_pir,kfree"


def test_the_guest_stops_at_the_points_that_the_host_knows() -> None:
    init = (CHECKOUT / "guest" / guest.INIT_SOURCE).read_text()
    numbers = re.search(r"^enum point \{ (.*) \};$", init, re.MULTILINE)
    assert numbers
    names = dict(re.findall(r'\[(\w+)\] = "([^"]+)"', init))
    assert tuple(names[number] for number in numbers[1].split(", ")) == stops.NAMES
    assert f"#define STOP_NUMBER {stops.NUMBER:#x}\n" in init
    assert stops.STOP_FUNCTION == "sys_sched_get_priority_max"
    assert "syscall(__NR_sched_get_priority_max, STOP_NUMBER + point);" in init


def test_the_guest_is_built_without_libc_by_the_cells_compiler() -> None:
    headers, compiler, packer = guest.commands(cell(Endian.BE))
    assert headers[-1] == "headers"
    assert compiler[0] == "powerpc64-linux-gnu-gcc"
    assert {"-static", "-nostdlib", "-nostdinc", "-Werror", "-mno-altivec", "-mno-vsx"} <= set(compiler)
    assert packer[0] == "gcc"
    assert guest.pack()[1:3] == ("-t", "0")


def test_a_module_says_what_it_needs() -> None:
    assert depends(b"\0license=GPL\0depends=crc7,glob\0name=x\0") == ["crc7.ko", "glob.ko"]
    assert depends(b"\0depends=\0") == []
    assert depends(b"no modinfo at all") == []


def test_modules_are_packed_and_loaded_in_order() -> None:
    paths = ["modules/drivers/b.ko", "modules/lib/a.ko"]
    contents = guest.contents(paths)
    assert "file /lib/b.ko /modules/modules/drivers/b.ko 0644 0 0" in contents
    assert guest.modules_list(paths) == "/lib/b.ko\n/lib/a.ko\n"
    assert "/lib" not in guest.contents([])


def test_modules_that_a_test_of_the_guest_loads_are_packed_and_not_loaded_before() -> None:
    own = ["modules/oolong/oolong_data.ko", "modules/oolong/oolong_guest.ko"]
    samples = ["modules/samples/ftrace/ftrace-direct.ko", "modules/samples/livepatch/livepatch-sample.ko"]
    paths = [*own, *samples, "modules/lib/a.ko"]
    assert guest.modules_list(paths) == "/lib/a.ko\n"
    assert all(f" /modules/{path} " in guest.contents(paths) for path in paths)


def test_what_init_loads_by_itself_is_what_is_packed_for_it() -> None:
    init = (CHECKOUT / "guest" / guest.INIT_SOURCE).read_text()
    built = (CHECKOUT / "guest" / guest.OWN_MODULES_SOURCE / "Kbuild").read_text().split()[2:]
    assert {name.replace(".ko", ".o") for name in guest.OWN_MODULES} == set(built)
    for name in guest.OWN_MODULES:
        assert f'_MODULE "{name.removesuffix(".ko")}"' in init
