"""What was asked for: YAML, the matrix, overrides, locks."""
