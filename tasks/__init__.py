"""The doit tasks: one module per stage, which declares and never computes, and the program `python -m tasks`."""
