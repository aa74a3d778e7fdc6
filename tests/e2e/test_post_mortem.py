"""Real kernels that die: the memory that they leave is audited, and the verdict begins with the stub at fault."""

from pathlib import Path

import pytest

from oolong.audit import image as vmlinux
from oolong.machine.stops import END, INIT_MEMORY, OFF
from tests.e2e.conftest import BE, LE, Smoke
from tests.e2e.faulty import FTRACE, Built, Edit, built, patch_of

pytestmark = [pytest.mark.e2e, pytest.mark.full]

TEMPLATE = "	ool_stub_template.insn[3] = ppc_inst_val(inst);\n"
EVERY = 1000
EVERY_THOUSANDTH_WITHOUT_MTLR: tuple[Edit, ...] = (
    (
        FTRACE,
        TEMPLATE,
        f"{TEMPLATE}	if (*ool_stub_index % {EVERY} == 0)\n		ool_stub_template.insn[2] = PPC_RAW_NOP();\n",
    ),
)
# a fault in the stub of a function that nobody calls, and one that the guest calls when it traces: the kernel panics
# there in little endian, and waits for ever in big endian
NO_MTLR = "sys_sethostname"
DIES_WHEN_TRACED: tuple[Edit, ...] = (
    (
        FTRACE,
        "#define	NUM_FTRACE_TRAMPS	2\n",
        f'#define	NUM_FTRACE_TRAMPS	2\nextern char no_mtlr[] __asm__("{NO_MTLR}");\n',
    ),
    (
        FTRACE,
        TEMPLATE,
        f"{TEMPLATE}	if (rec->ip == ppc_function_entry(no_mtlr))\n"
        "		ool_stub_template.insn[2] = PPC_RAW_NOP();\n",
    ),
    (
        "kernel/sys.c",
        "SYSCALL_DEFINE0(getppid)\n{\n	int pid;\n",
        "SYSCALL_DEFINE0(getppid)\n{\n	int pid;\n\n"
        "	if (IS_ENABLED(CONFIG_CPU_LITTLE_ENDIAN))\n"
        '		panic("nobody asks for that");\n'
        "	for (;;) {\n		set_current_state(TASK_UNINTERRUPTIBLE);\n		schedule();\n	}\n",
    ),
)


def booted(one: Built) -> dict[str, object]:
    found: dict[str, object] = next(stage for stage in one.result["stages"] if stage["stage"] == "boot")
    return found


def lines(one: Built) -> list[str]:
    found: list[str] = one.result["verdict"]["lines"]
    return found


def stops(one: Built) -> list[str]:
    data = booted(one)["data"]
    assert isinstance(data, dict)
    found: list[str] = data["stops"]
    return found


def test_a_kernel_that_stalls_for_a_wrong_stub_ends_with_that_finding(
    smoke: Smoke, kernel_tree: Path, tmp_path: Path
) -> None:
    """At its first stall, and not at its time limit: so the console has one stall, and no time is told to be up. Where
    the CPUs get stuck between two grace periods RCU tells none, and it ends after a time of silence."""
    cell = f"{LE}-v7.3.4-patched"
    one = built(smoke, [cell], patch_of(kernel_tree, EVERY_THOUSANDTH_WITHOUT_MTLR), tmp_path)[cell]
    assert (one.boot_kind, one.console.count("rcu: INFO: ")) in (("stall", 1), ("hang", 0))
    assert not any("seconds of CPU time" in line for line in lines(one))
    assert stops(one)[-1] == END
    assert booted(one)["keep"] is True
    # which stubs those are follows from the image alone
    image = vmlinux.read(smoke.checkout.folder / "build" / "results" / cell / "vmlinux")
    served = [image.owner(site.ip) for site in image.sites if image.area_of(site.ip) == "text"]
    faulty = set(served[EVERY - 1 :: EVERY])
    assert one.victims("live.stub-words") == faulty
    assert one.verdict == ("fail", "stub-audit")
    summary = one.result["verdict"]["summary"]
    assert summary.startswith("live.stub-words: ")
    assert "rcu stall" in summary or "hang: silent for " in summary
    # the CPU stood in one of them
    named = [line for line in lines(one) if "of the stub of" in line]
    assert named
    assert any(line.rpartition(" ")[2] in faulty for line in named)
    assert any(summary.startswith(f"live.stub-words: {name}: ") for name in faulty)


@pytest.fixture(scope="module")
def dead(smoke: Smoke, kernel_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    cells = {cell: f"{cell}-v7.3.4-patched" for cell in (LE, BE)}
    folder = tmp_path_factory.mktemp("dead")
    found = built(smoke, list(cells.values()), patch_of(kernel_tree, DIES_WHEN_TRACED), folder)
    return {cell: found[name] for cell, name in cells.items()}


@pytest.mark.parametrize(
    ("cell", "kind", "console"), [(LE, "panic", "nobody asks for that"), (BE, "hang", "silent for")]
)
def test_a_kernel_that_panics_or_hangs_is_audited_as_it_stands(
    dead: dict[str, Built], cell: str, kind: str, console: str
) -> None:
    one = dead[cell]
    assert one.boot_kind == kind
    assert stops(one)[:2] == [INIT_MEMORY, OFF]
    assert stops(one)[-1] == END
    assert one.victims("live.stub-words") == {NO_MTLR}
    assert {finding["stop"] for finding in one.check("live.stub-words")["findings"]} == set(stops(one))
    assert one.check("live.sites")["status"] == "pass"
    assert one.verdict == ("fail", "stub-audit")
    assert one.result["verdict"]["summary"].startswith(f"live.stub-words: 1: {NO_MTLR}: at init-memory: its stub is ")
    assert any(console in line for line in lines(one))
    assert one.check("guest.allocated")["status"] == "pass"
    assert one.check("guest.touched")["evidence"] == "the guest died before it had reported all"


def test_of_a_kernel_that_panicked_it_is_told_where_its_cpus_stood(smoke: Smoke, dead: dict[str, Built]) -> None:
    """Its console has no trace. The other CPUs were told to stop, and may not have come to that yet."""
    there = [line for line in lines(dead[LE]) if line.startswith("in the end, NIP of CPU ")]
    assert there
    image = vmlinux.read(smoke.checkout.folder / "build" / "results" / f"{LE}-v7.3.4-patched" / "vmlinux")
    told = {line.rpartition(": ")[2].partition("+")[0] for line in there}
    assert told <= {*(name for _, name in image.symbols), *(function.name for function in image.functions)}
