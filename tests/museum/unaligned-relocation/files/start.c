#define __init __attribute__((section(".init.text")))
int __init first(int x) { return x - 1; }
int __init second(int x) { return x - 2; }
asm("	.text\n"
    "	.balign	32\n"
    "	.globl	odd\n"
    "	.type	odd, @function\n"
    "odd:	nop\n"
    "	blr\n"
    "	.size	odd, . - odd\n"
    "	.section __patchable_function_entries, \"awo\", @progbits, .text\n"
    "	.balign	8\n"
    "	.reloc	., R_PPC64_UADDR64, odd\n"
    "	.quad	0\n"
    "	.text\n");
