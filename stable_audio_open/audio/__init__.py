"""Files to tensors and back: reading, saving, resampling, channels, silence."""
