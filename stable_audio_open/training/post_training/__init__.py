"""A flow is trained on for few steps: a warm-up, then student and discriminator in turn."""
