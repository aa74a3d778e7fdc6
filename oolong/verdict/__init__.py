"""A cell's results judged, and held against known issues."""
