"""The music gate: what sounds like music goes to review."""
