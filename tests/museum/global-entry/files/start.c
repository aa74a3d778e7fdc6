#define __init __attribute__((section(".init.text")))
int __init first(int x) { return x - 1; }
int __init second(int x) { return x - 2; }
asm("	.text\n"
    "	.balign	32\n"
    "	.globl	sets_up_toc\n"
    "	.type	sets_up_toc, @function\n"
    "sets_up_toc:\n"
    "	addis	2, 12, .TOC. - sets_up_toc@ha\n"
    "	addi	2, 2, .TOC. - sets_up_toc@l\n"
    "	.localentry sets_up_toc, . - sets_up_toc\n"
    "	nop\n"
    "	blr\n"
    "	.size	sets_up_toc, . - sets_up_toc\n"
    "	.section __patchable_function_entries, \"awo\", @progbits, .text\n"
    "	.balign	8\n"
    "	.quad	sets_up_toc\n"
    "	.text\n");
