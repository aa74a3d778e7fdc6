"""Where the addresses lie that a dead kernel's console has."""

import pytest

from oolong.audit import console_trace
from oolong.audit.allocation import allocate
from oolong.audit.image import Image
from oolong.audit.survey import Survey
from oolong.machine.stops import OFF
from tests.guests import MODULES, Guest, Loaded, image_of, ip_of

IMAGES = pytest.mark.parametrize("little", [True, False], ids=["le", "be"])
# a stall as 7.3.4 prints it, with places for addresses
STALL = """\
[   25.3][    C0] rcu: INFO: rcu_sched self-detected stall on CPU
[   25.3][    C0] rcu: \t0-....: (2099 ticks this GP) idle=0b1c/1/0x4000000000000002 softirq=54/54 fqs=1050
[   25.3][    C0] CPU: 0 UID: 0 PID: 1 Comm: swapper/0 Not tainted 7.3.4 #1 PREEMPTLAZY
[   25.3][    C0] NIP:  {nip:016x} LR: {lr:016x} CTR: 0000000000000000
[   25.3][    C0] REGS: c0000000036b7a20 TRAP: 0900   Not tainted  (7.3.4)
[   25.3][    C0] NIP [{nip:016x}] plain_one+0x8/0x24
[   25.3][    C0] LR [{lr:016x}] ftrace_ool_stub_text+0x20/0x60
[   25.3][    C0] Call Trace:
[   25.3][    C0] [c0000000036b7c60] [{caller:016x}] with_toc+0x10/0x24 (unreliable)
[   25.3][    C0] [c0000000036b7ca0] [{caller:016x}] with_toc+0x10/0x24
[   25.3][    C0] [c0000000036b7cd0] [c00000000fffffff] 0xc00000000fffffff
"""


def stub(image: Image, function: str) -> int:
    return allocate(image).stubs[ip_of(image, function)].code


def survey(image: Image) -> Survey:
    return Guest(image, OFF, modules=[Loaded()]).survey()


@IMAGES
@pytest.mark.parametrize("with_picture", [True, False], ids=["by the records", "on paper"])
def test_an_address_in_a_stub_is_that_of_the_function_that_it_serves(little: bool, with_picture: bool) -> None:
    """Each address once, those in stubs first; none of what is no code."""
    image = image_of(little)
    nip, caller = ip_of(image, "plain_one") + 8, ip_of(image, "with_toc") + 8
    lr = stub(image, "plain_two") + 8
    console = STALL.format(nip=nip, lr=lr, caller=caller)
    found = console_trace.places(console, "", image, survey(image) if with_picture else None)
    assert [place.line for place in found] == [
        f"LR {lr:016x}: instruction 3 of the stub of plain_two",
        f"NIP {nip:016x}: {image.told(nip)}",
        f"called from {caller:016x}: {image.told(caller)}",
    ]
    assert [place.serves for place in found] == ["plain_two", None, None]


@pytest.mark.parametrize(
    ("offset", "told"),
    [(-8, "the pointer to ops in"), (-4, "the pointer to ops in"), (0, "instruction 1 of"), (15, "instruction 4 of")],
)
def test_every_byte_of_a_stub_belongs_to_its_function(offset: int, told: str) -> None:
    image = image_of(little=True)
    at = stub(image, "with_toc") + offset
    (place,) = console_trace.places(f"LR [{at:016x}] x+0x1/0x2\n", "", image, None)
    assert (place.told, place.serves) == (f"{told} the stub of with_toc", "with_toc")


def test_a_stub_and_the_code_of_a_module_are_told_by_the_place_in_it() -> None:
    image = image_of(little=True)
    seen = survey(image)
    record = next(one for one in seen.records if one.ip == MODULES)
    console = f"NIP [{MODULES + 0x10:016x}] x\nLR [{record.stub:016x}] x\n"
    assert [place.told for place in console_trace.places(console, "", image, seen)] == [
        "instruction 1 of the stub of far+0x0",
        "far+0x10",
    ]


def test_the_registers_of_each_cpu_are_told() -> None:
    image = image_of(little=True)
    nip, lr = ip_of(image, "plain_one"), stub(image, "plain_one") + 8
    registers = (
        f"CPU#0\r\nNIP {nip:016x}   LR {lr:016x} CTR 0000000000000000 XER 0000000000000000 CPU#0\r\nMSR 8\r\n"
        f"CPU#1\r\nNIP {0:016x}   LR {nip:016x} CTR 0000000000000000 XER 0000000000000000 CPU#1\r\n"
    )
    assert [place.line for place in console_trace.places("", registers, image, None)] == [
        f"in the end, LR of CPU 0 {lr:016x}: instruction 3 of the stub of plain_one",
        f"in the end, NIP of CPU 0 {nip:016x}: {image.told(nip)}",
        f"in the end, LR of CPU 1 {nip:016x}: {image.told(nip)}",
    ]


def test_a_fault_is_where_an_instruction_made_it() -> None:
    image = image_of(little=True)
    at = ip_of(image, "with_toc")
    console = f"[    5.2][    T1] Faulting instruction address: 0x{at:016x}\n"
    assert [place.what for place in console_trace.places(console, "", image, None)] == ["Faulting instruction"]


def test_no_more_is_told_than_somebody_reads_and_stubs_first() -> None:
    image = image_of(little=True)
    many = "".join(f"NIP [{at:016x}] x\n" for at in range(image.text.start, image.text.start + 4 * 64, 4))
    found = console_trace.places(f"{many}LR [{stub(image, 'plain_one'):016x}] x\n", "", image, None)
    assert len(found) == console_trace.MOST
    assert "plain_one" in [place.serves for place in found]


def test_a_console_without_addresses_has_no_places() -> None:
    assert console_trace.places("NIP [xyz]\nLR [123]\nHello\n", "no registers", image_of(little=True), None) == ()
