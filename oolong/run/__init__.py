"""One checkout opened, and a cell of it made in this process."""
