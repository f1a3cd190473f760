"""Where recordings and their metadata come from."""
