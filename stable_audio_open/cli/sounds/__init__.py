"""Commands that make sounds, or change them."""
