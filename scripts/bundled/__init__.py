"""The data of the bundled model: sources, captions by a table, the split, and what is written."""
