"""musicnn: tags of music."""
