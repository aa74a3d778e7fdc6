"""The points at which the guest stands still for the host, by name: what both sides agree on.

INIT_MEMORY is a breakpoint in the kernel, before it frees the memory of init. At the others the guest's init calls the
kernel function STOP_FUNCTION, which nothing else there calls, with NUMBER + the place of the name in NAMES.

END is no point that anybody agreed on: where a guest was when it died, or had to be stopped.
"""

INIT_MEMORY, INIT_FUNCTION = "init-memory", "ftrace_free_init_mem"
STOP_FUNCTION = "sys_sched_get_priority_max"
FUNCTIONS = INIT_FUNCTION, STOP_FUNCTION
NUMBER = 0x6F00
OFF, ONE, ALL, MODULE, GRAPH, KPROBE, DIRECT, LIVEPATCH, QUIET = NAMES = (
    "off",
    "one",
    "all",
    "module",
    "graph",
    "kprobe",
    "direct",
    "livepatch",
    "off-again",
)
END = "end"
