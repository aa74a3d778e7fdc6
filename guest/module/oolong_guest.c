// SPDX-License-Identifier: GPL-2.0
// A module to trace: what it is told to call, it calls when it is loaded, and once more when it goes.

#include <linux/module.h>

static int calls;
module_param(calls, int, 0);
MODULE_PARM_DESC(calls, "how often the traced function is called when the module is loaded");

int oolong_guest_traced(int number);

noinline int oolong_guest_traced(int number)
{
	// or the compiler takes all calls but one for the same
	barrier();
	return number + 1;
}

static int __init oolong_guest_init(void)
{
	int sum = 0;

	for (int i = 0; i < calls; i++)
		sum = oolong_guest_traced(sum);
	return sum == calls ? 0 : -EINVAL;
}

static void __exit oolong_guest_exit(void)
{
	oolong_guest_traced(0);
}

module_init(oolong_guest_init);
module_exit(oolong_guest_exit);
MODULE_DESCRIPTION("Something to trace in a module");
MODULE_LICENSE("GPL");
