"""Recordings to batches: manifest, prompts, crops, cached latents."""
