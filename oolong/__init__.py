"""oolong: ppc64 Linux kernels with out-of-line ftrace, built, stubbed, booted and judged."""
