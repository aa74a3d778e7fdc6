/* Patch sites in .text, one of them not where the others are. */
int one(int x) { return x + 1; }
int two(int x) { return x + 2; }
int three(int x) { return x + 3; }
int four(int x) { return x + 4; }
int five(int x) { return x + 5; }
int __attribute__((patchable_function_entry(3, 2))) six(int x) { return x + 6; }
