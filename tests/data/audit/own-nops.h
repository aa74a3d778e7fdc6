/* Functions that begin with a nop which is no patch site: a jump label, a feature of the CPU, a barrier, the alignment of a
 * loop, and one in assembly that has it for itself. */
	.macro own name
	.section .text, "ax", @progbits
	.balign	32
	.globl	\name
	.type	\name, @function
\name:
	.endm
	.macro done name
	blr
	.size	\name, . - \name
	.endm
	.macro own_nops
	own branches
	nop
	done branches
	own features
	addi	3, 3, 1
	done features
	own featured
	nop
	done featured
	own flushes
	nop
	nop
	done flushes
	own loops
	addis	2, 12, .TOC. - loops@ha
	addi	2, 2, .TOC. - loops@l
	.localentry loops, . - loops
	nop
	nop
.Lloop:
	addi	3, 3, 1
	bdnz	.Lloop
	done loops
	own arch_rethook_trampoline
	nop
	done arch_rethook_trampoline
	.section __jump_table, "a", @progbits
	.balign	8
	.long	branches - ., branches + 4 - .
	.quad	0
	.section __ftr_fixup, "a", @progbits
	.balign	8
.Lentry:
	.quad	0, 0, features - .Lentry, featured + 4 - .Lentry, 0, 0
	.section __rfi_flush_fixup, "a", @progbits
	.balign	8
	.quad	flushes - .
	.endm
