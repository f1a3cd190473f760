"""Number formats of whole models: of what is read, and of what was built here."""

import torch

from stable_audio_open.checkpoint.source import TEXT_ENCODER
from stable_audio_open.checkpoint.weights.precision import Precision, cast, find_precision
from stable_audio_open.conditioning.text import TextConditioner
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.attention import check_backend
from stable_audio_open.nn.device import find_device


def place(
    model: LatentDiffusion,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attention: str = "sdpa",
) -> LatentDiffusion:
    """Bring a model that was built here to device, type and attention as `load` does.

    The text encoder stays in the type it has.

    Raises:
        ValueError: An unknown or missing device, type or backend.
    """
    where = find_device(device)
    precision = find_precision(dtype, where)
    backend = check_backend(attention)
    cast_parts(model, precision)
    model.transformer.set_backend(backend)
    return model.to(where).eval()


def dtype_of_part(precision: Precision, name: str) -> torch.dtype:
    """Return the type of a tensor of a whole model by its name."""
    if name.startswith(TEXT_ENCODER):
        return torch.float32
    return precision.autoencoder if name.startswith("autoencoder.") else precision.transformer


def cast_parts(model: LatentDiffusion, precision: Precision) -> None:
    """Convert a whole model but for its text encoder."""
    (text,) = model.conditioner.texts.values()
    assert isinstance(text, TextConditioner)
    cast(model.autoencoder, precision.autoencoder)
    cast(model, precision.transformer, besides=(model.autoencoder, text.encoder))
