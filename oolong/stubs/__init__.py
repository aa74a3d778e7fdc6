"""The stub pass: patch sites of vmlinux.o, counted, and the .S that reserves their stubs."""
