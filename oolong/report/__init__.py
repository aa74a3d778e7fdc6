"""Reports of cells as documents: rendering is pure, writing is a thin edge."""
