/* Where the kernel is entered, and the stubs that it has within .text anyway. */
#include <asm/asm-offsets.h>
#include <linux/linkage.h>
	.section .head, "ax"
	.incbin "head.bin"
	.section .text, "ax"
SYM_DATA(ftrace_ool_stub_text_count, .long RESERVE)
SYM_START(ftrace_ool_stub_text, SYM_L_GLOBAL, .balign SZL)
	.space RESERVE * FTRACE_OOL_STUB_SIZE
SYM_CODE_END(ftrace_ool_stub_text)
