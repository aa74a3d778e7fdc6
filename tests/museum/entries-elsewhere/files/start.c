#define __init __attribute__((section(".init.text")))
int __init first(int x) { return x - 1; }
int __init second(int x) { return x - 2; }
asm("	.text\n"
    "	.balign	32\n"
    "	.globl	elsewhere\n"
    "	.type	elsewhere, @function\n"
    "elsewhere:\n"
    "	nop\n"
    "	blr\n"
    "	.size	elsewhere, . - elsewhere\n"
    "	.section __patchable_others, \"awo\", @progbits, .text\n"
    "	.balign	8\n"
    "	.quad	elsewhere\n"
    "	.text\n");
