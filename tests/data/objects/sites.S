/* Patch sites as gcc writes them: an entry is the address of a nop, relocated against the section or the function.
 * Assembled by ./assemble for each byte order; with POINTER .quad for 64 bits, .long for 32. */
	.macro site name, section
	.section \section, "ax", @progbits
	.globl \name
	.type \name, @function
\name:
.Lsite_\name:
	nop
	blr
	.size \name, . - \name
	.section __patchable_function_entries, "awo", @progbits, \section
	.balign POINTER_SIZE
	POINTER .Lsite_\name
	.endm

	.text
	site plain_one, .text
	site plain_two, .text
	site cold, .text.unlikely
	site setup, .init.text
	site left, .exit.text
	site asan_ctor, .text.startup
#ifdef SECTIONS
	/* -ffunction-sections: names that a search for ".init.text" or ".text.startup" in what objdump prints mistakes */
	site startup_gfar, .text.startup_gfar
	site foo_init_text, .text.foo_init_text
	site a_setup, .init.text.a_setup
	site b_ctor, .text.startup.b_ctor
#endif
#ifdef BY_FUNCTION
	/* relocated against the function, whose name says nothing of its section */
	.section __patchable_function_entries, "awo", @progbits, .init.text
	POINTER setup + 4
#endif
