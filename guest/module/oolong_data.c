// SPDX-License-Identifier: GPL-2.0
// A module that has data and no function, and so nothing to trace and no stubs: it has to load all the same.

#include <linux/module.h>

const char oolong_data[] = "nothing to call";

MODULE_DESCRIPTION("Data alone, in a module");
MODULE_LICENSE("GPL");
