"""The smallest pieces of the networks."""
