/* What tests/test_dwarf.py looks for in debug information; ./assemble makes layout-*.o of it. */
#include "layout.h"

struct unknown;

enum { FTRACE_FL_ENABLED = 1UL << 31, FTRACE_FL_LOW = 1 };
enum { FTRACE_BELOW = -1, OTHER = 5 };

int uses(struct dyn_ftrace *rec, struct unknown *unknown);

int uses(struct dyn_ftrace *rec, struct unknown *unknown)
{
	return rec->flags & FTRACE_FL_ENABLED ? FTRACE_BELOW : (unknown != 0) + OTHER + FTRACE_FL_LOW;
}
