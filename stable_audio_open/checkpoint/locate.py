"""Where the files of a source are: bundled, on disk, or on the hub."""

import os
from pathlib import Path

from stable_audio_open.arguments.checks import check_path
from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.checkpoint.bundled import BUNDLED
from stable_audio_open.checkpoint.hub import download, is_hub_name
from stable_audio_open.checkpoint.tensors import TENSOR_SUFFIXES


def locate(source: str | os.PathLike[str], *, text_encoder: bool) -> Path:
    """Return the file or folder that a source stands for.

    Args:
        source: `"tiny"` (bundled), a folder or file, or a hub name.
        text_encoder: Bring the text encoder too, where the files come from the hub.

    Raises:
        ValueError: There is no such model, or the hub does not give it.
    """
    name = check_path(source, "source")
    if name in BUNDLED:
        return BUNDLED[name]
    path = Path(name)
    if path.exists():
        return path
    if isinstance(source, str) and is_hub_name(name) and path.suffix not in TENSOR_SUFFIXES:
        return download(name, text_encoder=text_encoder)
    raise ValueError(
        f"no model {name!r}; allowed: {', '.join(map(repr, BUNDLED))} (bundled), a folder or file "
        f"that exists, or a hub name such as 'stabilityai/stable-audio-open-1.0'"
        f"{did_you_mean(name, BUNDLED)}"
    )
