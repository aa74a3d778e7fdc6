/* A linked kernel in small: what the audit looks for, and nothing else. Linked by ./assemble with image.lds. */
	.abiversion 2
	.macro site name, section, entry=0
	.section \section, "ax", @progbits
	.balign 32
	.globl \name
	.type \name, @function
\name:
	.if \entry
	addis 2, 12, 1
	addi 2, 2, 64
	.localentry \name, . - \name
	.endif
.Lsite_\name:
	nop
	nop
	blr
	.size \name, . - \name
	.section __mcount_loc, "aw", @progbits
	.balign 8
	.quad .Lsite_\name
	.endm

	.macro area name, section, stubs
	.section \section, "ax", @progbits
	.balign 8
	.globl \name
	.type \name, @object
\name:
	.space 24 * \stubs
	.size \name, . - \name
	.section .rodata, "a", @progbits
	.balign 4
	.globl \name\()_count
\name\()_count:
	.long \stubs
	.size \name\()_count, 4
	.endm

	.text
	.globl ftrace_caller
	.type ftrace_caller, @function
ftrace_caller:
	blr
	.size ftrace_caller, . - ftrace_caller
	.globl ftrace_regs_caller
	.type ftrace_regs_caller, @function
ftrace_regs_caller:
	blr
	.size ftrace_regs_caller, . - ftrace_regs_caller
	area ftrace_ool_stub_text, .text, 3
	site plain_one, .text
	site with_toc, .text, 1
	site plain_two, .text
	site with_toc_too, .text, 1
	area ftrace_ool_stub_text_end, .tramp.ftrace.text, 2
	.section .tramp.ftrace.text, "ax", @progbits
	.globl ftrace_tramp_text
ftrace_tramp_text:
	.long 0, 0, 0, 0
	site setup, .init.text
	area ftrace_ool_stub_inittext, .tramp.ftrace.init, 1
	.section .rodata, "a", @progbits
	.ascii "Linux version 7.3.4 (made of nothing)\0"
	.data
	.globl ftrace_pages_start, ftrace_ops_list, ftrace_list_end, ftrace_nop_ops, ftrace_list_ops, modules
	.balign 8
ftrace_pages_start:
	.quad 0
ftrace_ops_list:
	.quad ftrace_list_end
ftrace_list_end:
	.quad 0
ftrace_nop_ops:
	.quad 0
ftrace_list_ops:
	.quad 0
modules:
	.quad modules
	.quad modules
	.section .note.GNU-stack, "", @progbits
