"""What is asked of a generation, checked before any work is done."""
