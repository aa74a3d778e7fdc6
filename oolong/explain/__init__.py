"""A function of a linked kernel, explained: its entry, its patch site, its stub in the file and in memory."""
