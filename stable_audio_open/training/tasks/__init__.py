"""The Lightning modules: what a step of each training learns, and how it is validated."""
