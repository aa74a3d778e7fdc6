"""The screen and the exit code: what is typed, what is shown, how a run ends."""
