"""Mutants: objects, kernels, memory, reports, consoles and results with one thing wrong each."""
