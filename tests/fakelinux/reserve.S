/* Where the kernel is entered, ftrace's own code, and the stubs that it has within .text anyway. */
#include <asm/asm-offsets.h>
#include <linux/linkage.h>
	.section .head, "ax"
	.incbin "head.bin"
	.section .text, "ax"
SYM_START(ftrace_caller, SYM_L_GLOBAL, .balign 4)
SYM_START(ftrace_regs_caller, SYM_L_GLOBAL, .balign 4)
	blr
SYM_DATA(ftrace_ool_stub_text_count, .long RESERVE)
SYM_START(ftrace_ool_stub_text, SYM_L_GLOBAL, .balign SZL)
	.space RESERVE * FTRACE_OOL_STUB_SIZE
SYM_CODE_END(ftrace_ool_stub_text)
	.section .tramp.ftrace.text, "aw"
SYM_START(ftrace_tramp_text, SYM_L_GLOBAL, .balign 4)
	.space 32
	.section .tramp.ftrace.init, "aw"
SYM_START(ftrace_tramp_init, SYM_L_GLOBAL, .balign 4)
	.space 32
