/* Assembled like the stubs are; what is in it nobody needs. */
#include <asm/asm-offsets.h>
	.long	FTRACE_OOL_STUB_SIZE
