"""Past faults of out-of-line ftrace, brought back to show that the audit names them."""
