"""Many sounds by a table, and sounds again by their tags."""
