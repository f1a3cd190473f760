"""What generated or decoded audio is worth: the paper's measures, and checks of their inputs."""
