"""Waveform to latents and back (section 2.1)."""
