/* Structures that the object does not begin with, as the kernel's are from its headers. */
struct inner {
	int *first;
	short pair[2];
};

struct dyn_ftrace {
	unsigned long ip;
	unsigned long flags;
	struct inner arch;
	unsigned int narrow : 3;
	unsigned int plain;
	union {
		int number;
		struct {
			char low, high;
		};
	};
	const volatile unsigned char table[3][5];
	struct dyn_ftrace *next;
	char rest[];
};
