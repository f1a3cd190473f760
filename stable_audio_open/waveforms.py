"""Between sounds and the latents of a model's window."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_number
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.finishing import FADE
from stable_audio_open.audio.resample import resample
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.inference import usable


def encode_audio(
    model: LatentDiffusion, audio: Audio, frames: int, *, items: int
) -> Float[Tensor, "batch latent_channels frames"]:
    """Encode the start of a sound, followed by silence, as latents in float32.

    Args:
        model: The system, whose sample rate the sound is brought to.
        audio: One item, or as many as `items`, of the model's channels.
        frames: Latent frames of the window.
        items: Items of the batch.

    Returns:
        The means of the autoencoder's posterior, for one item or for `items`.

    Raises:
        ValueError: When the sound has another number of items.
    """
    if len(audio) not in (1, items):
        wanted = "1 item" if items == 1 else f"1 item or one for each of {items} prompts"
        raise ValueError(f"init_audio must hold {wanted}, got {len(audio)}")
    autoencoder = model.autoencoder
    samples = resample(audio.samples, audio.sample_rate, autoencoder.sample_rate)
    length = frames * autoencoder.downsampling
    samples = F.pad(samples[..., :length], (0, max(0, length - samples.shape[-1])))
    return autoencoder.encode(samples.to(autoencoder.device, autoencoder.dtype)).float()


def decode_audio(
    model: LatentDiffusion,
    latents: Float[Tensor, "batch latent_channels frames"],
    *,
    samples: Sequence[int] | None,
    seeds: Sequence[int],
    fade: float = 0.0,
) -> Audio:
    """Decode latents to a sound.

    Args:
        model: The system.
        latents: Clean latents.
        samples: Of each item decode that many alone, from no more latents than the longest depends
            on; None is all.
        seeds: One per item, which the sound keeps.
        fade: Seconds of fade-out that saving gives the end, where it is cut off.

    Raises:
        FloatingPointError: When the model gives NaN or infinite samples.
    """
    autoencoder = model.autoencoder
    most = None if samples is None else max(samples)
    window = latents.shape[-1] * autoencoder.downsampling
    if most is not None:
        frames = math.ceil(most / autoencoder.downsampling)
        latents = latents[..., : frames + autoencoder.decoder_margin]
    decoded = autoencoder.decode(latents.to(autoencoder.dtype))[..., :most].float().cpu()
    check_decoded(model, decoded)
    decoded = usable(decoded)
    lengths = (decoded.shape[-1],) * len(decoded) if samples is None else tuple(samples)
    for item, length in zip(decoded, lengths, strict=True):
        item[..., length:] = 0
    faded = fade if any(length < window for length in lengths) else 0.0
    return Audio(decoded, model.sample_rate, tuple(seeds), lengths=lengths, fade=faded)


def check_fade(fade: float | None) -> float:
    """Return the seconds of fade-out where a sound is cut, which are `FADE` when None.

    Raises:
        TypeError: It is no number.
        ValueError: It is not at least 0 and finite.
    """
    if fade is None:
        return FADE
    fade = check_number(fade, "fade")
    if not 0 <= fade < math.inf:
        raise ValueError(f"fade must be at least 0 seconds, got {fade}")
    return fade


def check_decoded(model: LatentDiffusion, samples: Float[Tensor, "batch channels time"]) -> None:
    """Refuse what a model gives where its numbers overflow.

    Raises:
        FloatingPointError: Samples are NaN or infinite.
    """
    if not samples.isfinite().all():
        kind = model.precision
        wider = "" if kind in ("float32", "float64") else "load it with dtype='float32', "
        raise FloatingPointError(
            f"the model gave NaN or infinite samples in {kind}; {wider}lower the guidance scale, "
            "or check the checkpoint"
        )
