/* Structures that a compiler takes and no kernel has. */
struct dyn_ftrace {
	char pad[1UL << 62];
	unsigned long ip;
} *record;

struct hlist_head {
	char pad[(1UL << 63) - 1];
} *head;
