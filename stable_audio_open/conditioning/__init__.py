"""What the transformer is conditioned on (section 2.2)."""
