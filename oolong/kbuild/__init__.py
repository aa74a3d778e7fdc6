"""The kernel's own build: command lines, configurations, logs."""
