"""How loud sounds are, and sounds of another level."""
