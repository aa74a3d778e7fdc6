"""One module per stage: how its recipe is made (pure) and the work that it names."""
