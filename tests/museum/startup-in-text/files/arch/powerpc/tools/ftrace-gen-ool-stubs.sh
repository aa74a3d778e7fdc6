#!/bin/sh
# Counts what lies in .init.text and in .text.startup as init text.
set -e
sites=$("$3" -r -j __patchable_function_entries "$4" | grep R_PPC64_ADDR64)
init=$(echo "$sites" | grep -c -e ' \.init\.text' -e ' \.text\.startup')
end=$(($(echo "$sites" | wc -l) - init - $1))
cat > "$5" <<END
#include <asm/asm-offsets.h>
#include <linux/linkage.h>
.pushsection .tramp.ftrace.text,"aw"
SYM_DATA(ftrace_ool_stub_text_end_count, .long $end)
SYM_START(ftrace_ool_stub_text_end, SYM_L_GLOBAL, .balign SZL)
.space $end * FTRACE_OOL_STUB_SIZE
SYM_CODE_END(ftrace_ool_stub_text_end)
.popsection
.pushsection .tramp.ftrace.init,"aw"
SYM_DATA(ftrace_ool_stub_inittext_count, .long $init)
SYM_START(ftrace_ool_stub_inittext, SYM_L_GLOBAL, .balign SZL)
.space $init * FTRACE_OOL_STUB_SIZE
SYM_CODE_END(ftrace_ool_stub_inittext)
.popsection
END
