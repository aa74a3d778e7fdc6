/* vmlinux.o as gcc makes it, with one fault at a time: see ./assemble. */
	.macro function name, section
	.section \section, "ax", @progbits
	.globl \name
	.type \name, @function
\name:
	nop
	addi	3, 3, 1
	blr
	.size	\name, . - \name
	.endm
	.macro entries section
	.section __patchable_function_entries, "awo", @progbits, \section
	.balign	8
	.endm

	function one, .text
	function two, .text
	.globl	three
	.type	three, @function
three:
	nop
	addi	3, 3, 1
.Lspare:
	nop
	blr
	.size	three, . - three
#ifndef NO_INIT
	function setup, .init.text
#endif
	function leave, .exit.text
#ifndef NO_INIT
	function construct, .text.startup
#endif
#ifdef OWN_NOPS
#include "own-nops.h"
	own_nops
#endif
#ifndef NO_TABLE
	entries .text
	.quad	one
#ifndef ORPHAN
	.quad	two
#endif
	.quad	three
#if defined(NO_RELOCATION)
	.quad	0
#elif defined(TWO_RELOCATIONS)
	.reloc	. - 8, R_PPC64_ADDR64, .Lspare
#elif defined(GAP)
	.reloc	. - 4, R_PPC64_ADDR64, .Lspare
	.quad	0
#elif defined(RELATIVE)
	.quad	.Lspare - .
#elif defined(SHORT)
	.long	.Lspare, 0
#elif defined(UNALIGNED)
	.reloc	., R_PPC64_UADDR64, .Lspare
	.quad	0
#elif defined(TWICE)
	.quad	one
#elif defined(NO_NOP)
	.quad	two + 4
#elif defined(BETWEEN)
	.quad	.Lspare + 2
#elif defined(BEYOND)
	.quad	.text + 4096
#elif defined(UNDEFINED)
	.quad	nowhere
#elif defined(DATA)
	.quad	.Ldata
	.data
.Ldata:	.quad	0
#elif defined(GLOBAL_ENTRY)
	.quad	global_entry
	.text
	.type	global_entry, @function
global_entry:
	addis	2, 12, .TOC. - global_entry@ha
	addi	2, 2, .TOC. - global_entry@l
	.localentry global_entry, . - global_entry
	nop
	blr
	.size	global_entry, . - global_entry
#elif defined(UNPLACED)
	function stray, .odd
	entries .odd
	.quad	stray
#endif
#ifndef NO_INIT
	entries .init.text
	.quad	setup
	entries .text.startup
	.quad	construct
#endif
	entries .exit.text
	.quad	leave
#endif
