"""The set that is trained on."""
