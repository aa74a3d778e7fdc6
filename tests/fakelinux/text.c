/* Patch sites in .text and .init.text. */
int one(int x) { return x + 1; }
int two(int x) { return x + 2; }
int three(int x) { return x + 3; }
int four(int x) { return x + 4; }
int five(int x) { return x + 5; }
int six(int x) { return x + 6; }
