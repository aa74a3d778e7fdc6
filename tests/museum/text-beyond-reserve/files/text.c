/* Three patch sites within reach of the reserve of four stubs, and three beyond it. */
int one(int x) { return x + 1; }
int two(int x) { return x + 2; }
int three(int x) { asm volatile(".space 34 << 20"); return x + 3; }
int four(int x) { return x + 4; }
int five(int x) { return x + 5; }
int six(int x) { return x + 6; }
