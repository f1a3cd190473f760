"""The layout of diffusers: its configurations and its names of tensors."""
