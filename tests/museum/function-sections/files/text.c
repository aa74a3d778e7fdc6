/* Patch sites in .text, and one in a section that is named after its function. */
int one(int x) { return x + 1; }
int two(int x) { return x + 2; }
int three(int x) { return x + 3; }
int four(int x) { return x + 4; }
int five(int x) { return x + 5; }
int six(int x) { return x + 6; }
int __attribute__((section(".text.startup_gfar"))) startup_gfar(int x) { return x + 7; }
