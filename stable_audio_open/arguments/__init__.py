"""Arguments as people give them: their types, their names, and what was meant."""
