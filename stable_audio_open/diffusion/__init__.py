"""Latents and conditioning to velocity, and from noise to latents (sections 2.2 and 4.2)."""
