#!/bin/bash
# Says what is missing in a linked kernel, as the kernel's own script does of what is too far away.
for symbol in ftrace_caller ftrace_tramp_text; do
	"$1" "$2" | grep -q " T $symbol$" || { echo "ERROR: there is no $symbol"; exit 1; }
done
