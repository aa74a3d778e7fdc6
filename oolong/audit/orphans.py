"""Whether a function whose local entry point is a nop needs an entry in the table of patch sites (pure).

In vmlinux.o a table, a loop or a name explains every other nop. The linker makes more of them: where the low half of a
distance from the TOC pointer is enough, it puts a nop in the place of `addis rX,r2,…` (R_PPC64_TOC16_HA in
bfd/elf64-ppc.c of binutils), which may be a function's first instruction.
"""

from collections.abc import Sequence

from oolong.binary import powerpc

# to which compilers align loops, at least
LOOP_ALIGNMENT = 16
# functions in assembly whose first instruction is a nop that nobody patches (arch/powerpc/kernel/rethook.c)
OWN_NOP = frozenset({"arch_rethook_trampoline"})
# a branch with a relocation, as it stands in vmlinux.o: to itself
UNRESOLVED = powerpc.branch(0, 0), powerpc.branch(0, 0, link=True)


def aligns_a_loop(words: Sequence[int], number: int, end: int, address: int = 0) -> bool:
    """Whether the nops from a word on end at an aligned place that the words up to `end` jump to; `address` is that of
    the first word."""
    loop = next((at for at in range(number, end) if words[at] not in powerpc.PADDING), end)
    start = loop * powerpc.INSTRUCTION
    # after a single nop it is a tail call that the linker has yet to resolve, not a loop of one instruction
    after = loop + 1 if loop == number + 1 and loop < end and words[loop] in UNRESOLVED else loop
    return (address + start) % LOOP_ALIGNMENT == 0 and any(
        powerpc.jump_target(words[at], at * powerpc.INSTRUCTION) == start for at in range(after, end)
    )
