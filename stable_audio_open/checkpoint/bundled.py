"""Models that come with the package."""

from pathlib import Path

BUNDLED = {"tiny": Path(__file__).parents[1] / "assets" / "tiny"}


def checkpoint_path(source: str) -> Path:
    """Return the folder of a bundled model by its name; anything else is a path."""
    return BUNDLED.get(source, Path(source))
