"""What the structure of an audio file says: whether all is there, and how it is read whole."""
