"""Where the files of a source are: bundled, on disk, or on the hub."""

import os
from pathlib import Path

from stable_audio_open.arguments.checks import check_name, check_path
from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.checkpoint.bundled import BUNDLED
from stable_audio_open.checkpoint.hub.download import download, is_hub_name
from stable_audio_open.checkpoint.weights.tensors import TENSOR_SUFFIXES


def locate(
    source: str | os.PathLike[str],
    *,
    text_encoder: bool,
    variant: str | None = None,
    revision: str | None = None,
) -> Path:
    """Return the file or folder that a source stands for.

    Args:
        source: `"tiny"` (bundled), a folder or file, or a hub name.
        text_encoder: Bring the text encoder too, where the files come from the hub.
        variant: Weights to bring from the hub, such as fp16; None for the weights as such.
        revision: Branch, tag or commit of a hub name; None for the main branch.

    Raises:
        ValueError: There is no such model, the hub does not give it, or a revision is asked of
            something else.
    """
    name = check_path(source, "source")
    for what, value in (("variant", variant), ("revision", revision)):
        if value is not None:
            check_name(value, what)
    path = BUNDLED.get(name, Path(name))
    if path.exists():
        if revision is not None:
            raise ValueError(
                f"{name} is not from the hub, whose names alone have revisions; leave out "
                f"{revision!r}"
            )
        return path
    if isinstance(source, str) and is_hub_name(name) and path.suffix not in TENSOR_SUFFIXES:
        return download(name, text_encoder=text_encoder, variant=variant, revision=revision)
    raise ValueError(
        f"no model {name!r}; allowed: {', '.join(map(repr, BUNDLED))} (bundled), a folder or file "
        f"that exists, or a hub name such as 'stabilityai/stable-audio-open-1.0'"
        f"{did_you_mean(name, BUNDLED)}"
    )
