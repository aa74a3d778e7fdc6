/* Functions with one nop at their entries, and with two: ./assemble makes nops-*.o of it. */
extern int there;

int uses_nothing(int x)
{
	return x + 1;
}

int uses_data(void)
{
	return there++;
}

/* begins with a loop, which the compiler aligns */
void begins_with_a_loop(volatile long *at)
{
	while (*at)
		;
}
