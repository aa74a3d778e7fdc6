/* Entries that no kernel may have, one kind per object. */
	.text
	nop
	blr
	.section __patchable_function_entries, "aw", @progbits
#if defined(UNDEFINED)
	.quad nowhere
#elif defined(BEYOND)
	.quad .text + 4096
#elif defined(BETWEEN)
	.quad .text + 2
#elif defined(DATA)
	.quad .data
	.data
	.quad 0
#elif defined(RELATIVE)
	.quad .text - .
#elif defined(NO_RELOCATION)
	.quad 0
#endif
