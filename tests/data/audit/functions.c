/* What a compiler makes of -fpatchable-function-entry. */
#define INIT __attribute__((section(".init.text")))
extern int elsewhere;
int leaf(int x) { return x + 1; }
int reads(void) { return elsewhere; }
int calls(int (*what)(int)) { return what(elsewhere) + 1; }
int INIT setup(int x) { return x - 1; }
