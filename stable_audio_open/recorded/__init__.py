"""How a sound was made: what its tags say, and how they come to it."""
