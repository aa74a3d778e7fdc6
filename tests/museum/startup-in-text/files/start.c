#define __init __attribute__((section(".init.text")))
int __init first(int x) { return x - 1; }
int __init second(int x) { return x - 2; }
int __attribute__((section(".text.startup"))) begins_early(int x) { return x - 3; }
