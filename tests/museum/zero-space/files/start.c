/* No patch site in .init.text. */
int late(int x) { return x - 1; }
