/* A kernel of a few functions, linked as arch/powerpc/kernel/vmlinux.lds.S does, with one fault at a time: see
 * ./assemble. */
#ifndef STUB
#define STUB 24
#endif
#ifndef RESERVED
#define RESERVED 2
#endif
#ifndef TEXT_END
#if defined(NEIGHBOUR)
#define TEXT_END 4
#elif defined(TWO_SITES)
#define TEXT_END 5
#else
#define TEXT_END 3
#endif
#endif
#ifndef INITTEXT
#define INITTEXT 2
#endif
	.macro begin name, section
	.section \section, "ax", @progbits
	.balign	32
	.globl	\name
	.type	\name, @function
\name:
	.endm
	.macro end name
	addi	3, 3, 1
	addi	3, 3, 1
	addi	3, 3, 1
	addi	3, 3, 1
	blr
	.size	\name, . - \name
	.endm
	.macro toc name
	addis	2, 12, .TOC. - \name@ha
	addi	2, 2, .TOC. - \name@l
	.localentry \name, . - \name
	.endm
	.macro entry section, place
	.pushsection __patchable_function_entries, "awo", @progbits, \section
	.balign	8
	.quad	\place
	.popsection
	.endm
	.macro area name, section, stubs, size=STUB, count=-1, flags=ax, contents=0
	.section \section, "\flags", @progbits
	.globl	\name\()_count
\name\()_count:
	.if \count < 0
	.long	\stubs
	.else
	.long	\count
	.endif
	.size	\name\()_count, 4
	.globl	\name
	.balign	8
\name:
	.if \stubs
	.long	\contents
	.space	\stubs * \size - 4
	.endif
	.size	\name, . - \name
	.endm
/* what stands at a patch site */
#if defined(MPROFILE_KERNEL)
	.macro site
	mflr	0
	bl	_mcount
	.endm
#elif defined(TWO_NOPS)
	.macro site
	nop
	nop
	.endm
#else
	.macro site
	nop
	.endm
#endif
/* where the table says that a function's site is, after the start of it */
#if defined(MPROFILE_KERNEL)
#define SITE 4
#else
#define SITE 0
#endif

	begin ftrace_caller, .text
	end ftrace_caller
	begin ftrace_regs_caller, .text
	end ftrace_regs_caller
#ifdef MPROFILE_KERNEL
	begin _mcount, .text
	end _mcount
#endif

	begin leaf, .text
#if defined(NO_NOP)
	addi	3, 3, 1
#elif defined(NO_CALL)
	mflr	0
	nop
#elif defined(OTHER_CALL)
	mflr	0
	bl	ftrace_caller
#elif defined(NO_MFLR)
	nop
	bl	_mcount
#elif defined(ONE_NOP)
	nop
#elif defined(AFTER_ENTRY)
	addi	3, 3, 1
	nop
#else
	site
#endif
	end leaf
#if defined(AFTER_ENTRY)
	entry .text, leaf + 4
#elif defined(BEFORE_ENTRY)
	.text
	.balign	32
	nop
	.globl	late
	.type	late, @function
late:
	blr
	.size	late, . - late
	entry .text, late - 4
#elif !defined(FORGOTTEN)
	entry .text, leaf + SITE
#endif
#ifdef TWICE
	entry .text, leaf + SITE
#endif

	begin reads, .text
	toc reads
	site
	end reads
#if defined(CLANG) || defined(GLOBAL_ENTRY)
	entry .text, reads + SITE
#else
	entry .text, reads + 8 + SITE
#endif
#ifdef CLANG
	.ident	"Debian clang version 22"
#endif

	.section .text, "ax", @progbits
	.balign	32
#ifdef NEIGHBOUR
	.globl	short
	.type	short, @function
short:
	addi	3, 3, 1
	blr
	.size	short, . - short
	.balign	16
	.globl	neighbour
	.type	neighbour, @function
neighbour:
	nop
	end neighbour
	entry .text, neighbour
	.balign	32
#endif
#ifdef TWO_SITES
	begin double, .text
	nop
	nop
	end double
	entry .text, double
	entry .text, double + 4
	.balign	32
#endif
	/* what is left of a weak function that another one overrides: no symbol covers it */
	.globl	before_dead
	.type	before_dead, @function
before_dead:
	addi	3, 3, 1
	blr
	.size	before_dead, . - before_dead
#if defined(DEAD_NEAR)
	.balign	16
#else
	.balign	32
#endif
.Ldead:
	site
	addi	3, 3, 1
	blr
	entry .text, .Ldead + SITE

	begin asan_ctor, .text.startup
	site
	end asan_ctor
	entry .text.startup, asan_ctor + SITE
	begin setup, .init.text
	site
	end setup
	entry .init.text, setup + SITE

	begin cold, .text.unlikely
	site
	end cold
	entry .text.unlikely, cold + SITE
	begin in_order, .sched.text
	site
	end in_order
	entry .sched.text, in_order + SITE
#ifdef OUTSIDE
	begin leave, .outside
	site
	end leave
	entry .outside, leave
#endif

#ifdef OWN_NOPS
#include "own-nops.h"
	own_nops
#endif

	.section .tramp.ftrace.text, "ax", @progbits
#ifndef NO_TRAMPOLINE
	.globl	ftrace_tramp_text
ftrace_tramp_text:
#endif
	.space	32
	.section .tramp.ftrace.init, "ax", @progbits
	.globl	ftrace_tramp_init
ftrace_tramp_init:
	.space	32

#if !defined(MPROFILE_KERNEL) && !defined(TWO_NOPS)
#if defined(AREA_NONZERO)
	area ftrace_ool_stub_text, .reserve, RESERVED, contents=0x60000000
#elif defined(AREA_IN_DATA)
	area ftrace_ool_stub_text, .data, RESERVED, flags=aw
#elif !defined(AREA_MISSING)
	area ftrace_ool_stub_text, .reserve, RESERVED
#endif
#if defined(AREA_MISALIGNED)
	.section .tramp.ftrace.text, "ax", @progbits
	.space	4
	.globl	ftrace_ool_stub_text_end, ftrace_ool_stub_text_end_count
ftrace_ool_stub_text_end_count:
	.long	TEXT_END
	.balign	8
	.long	0
ftrace_ool_stub_text_end:
	.space	TEXT_END * STUB
	.size	ftrace_ool_stub_text_end, . - ftrace_ool_stub_text_end
#elif defined(AREA_OVERLAPS)
	.section .reserve, "ax", @progbits
	.globl	ftrace_ool_stub_text_end, ftrace_ool_stub_text_end_count
ftrace_ool_stub_text_end_count:
	.long	TEXT_END, 0
	.set	ftrace_ool_stub_text_end, ftrace_ool_stub_text + STUB
	.size	ftrace_ool_stub_text_end, TEXT_END * STUB
	.space	TEXT_END * STUB
#elif defined(SIZE_DIFFERS)
	area ftrace_ool_stub_text_end, .tramp.ftrace.text, TEXT_END, size=16
#elif defined(COUNT_SHORT)
	area ftrace_ool_stub_text_end, .tramp.ftrace.text, TEXT_END, count=(TEXT_END - 1)
#elif defined(COUNT_ZERO)
	area ftrace_ool_stub_text_end, .tramp.ftrace.text, TEXT_END, count=0
#else
	area ftrace_ool_stub_text_end, .tramp.ftrace.text, TEXT_END
#endif
#if defined(AREA_OUTSIDE)
	area ftrace_ool_stub_inittext, .outside, INITTEXT
#else
	area ftrace_ool_stub_inittext, .tramp.ftrace.init, INITTEXT
#endif
#endif

	.section .rodata, "a", @progbits
	.asciz	"Linux version 7.3.4 (oolong@build)"
