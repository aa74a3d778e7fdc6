#define __init __attribute__((section(".init.text")))
int __init first(int x) { return x - 1; }
int __init second(int x) { return x - 2; }
/* relocated against the function: the assembler keeps the symbol of a place that is not in its section's own file */
asm(".section .init.text, \"ax\", @progbits\n"
    "	.balign	32\n"
    "	.globl	by_name\n"
    "	.type	by_name, @function\n"
    "by_name:\n"
    "	nop\n"
    "	blr\n"
    "	.size	by_name, . - by_name\n"
    "	.section __patchable_function_entries, \"awo\", @progbits, .init.text\n"
    "	.balign	8\n"
    "	.quad	by_name\n"
    "	.text\n");
