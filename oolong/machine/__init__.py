"""A running kernel: QEMU, its monitor and debugger, the console, the memory, the guest."""
