"""The points at which the guest stands still for the host, by name: what both sides agree on.

INIT_MEMORY is a breakpoint in the kernel, before it frees the memory of init. At the others the guest's init calls the
kernel function STOP_FUNCTION, which nothing else there calls, with NUMBER + the place of the name in NAMES.

END is no point that anybody agreed on: where a guest was when it died, or had to be stopped.
"""

from collections.abc import Mapping

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

# where a guest stops only if its configuration has what is looked at there
BY_SYMBOL = {MODULE: "MODULES", KPROBE: "KPROBE_EVENTS", GRAPH: "FUNCTION_GRAPH_TRACER"}
BY_MODULE = {DIRECT: "SAMPLE_FTRACE_DIRECT", LIVEPATCH: "SAMPLE_LIVEPATCH"}


def expected(config: Mapping[str, str], *, modules: bool) -> list[str]:
    """The stops of a guest with a .config, in order; `modules` says whether it is given any."""
    needs = {**BY_SYMBOL, **(BY_MODULE if modules else {})}
    absent = {stop for stop, symbol in needs.items() if config.get(symbol, "n") == "n"}
    absent |= set() if modules else {MODULE, *BY_MODULE}
    return [stop for stop in (INIT_MEMORY, *NAMES) if stop not in absent]
