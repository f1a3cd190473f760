"""Sound as soon as it is there: latents first, then piece by piece."""

import math
from collections.abc import Iterator
from typing import Unpack

from stable_audio_open.audio.audio import Audio
from stable_audio_open.autoencoder.autoencoder import CORE_FRAMES
from stable_audio_open.generate import Generated, GenerateOptions, generate_latents
from stable_audio_open.given_prompts import GivenPrompts
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.inference import usable
from stable_audio_open.waveforms import check_decoded

FIRST_FRAMES = 22
"""Latent frames of the first piece: half a second where a frame is 2048 samples."""


def stream(
    model: LatentDiffusion,
    prompt: GivenPrompts,
    *,
    first: int = FIRST_FRAMES,
    core: int = CORE_FRAMES,
    **options: Unpack[GenerateOptions],
) -> Iterator[Audio]:
    """Generate audio from text, and give its beginning before the rest is decoded.

    Joined, the pieces are what `generate` gives, but for rounding; bit by bit they are
    `autoencoder.decode(latents, first=first, core=core)`.

    Args:
        model: The trained system, in evaluation mode.
        prompt: A text, or one per item of a batch, as `generate` takes it.
        first: Latent frames of the first piece.
        core: Latent frames of the others.
        options: As of `generate`, within the window. Latents are generated at once, here.

    Returns:
        Pieces of all items, one after the other. An item that is shorter than the longest of the
        batch is silent from its end on.

    Raises:
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    for name, value in (("first", first), ("core", core)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1 latent frame, got {value}")
    return _pieces(model, generate_latents(model, prompt, **options), first, core)


def _pieces(model: LatentDiffusion, made: Generated, first: int, core: int) -> Iterator[Audio]:
    autoencoder = model.autoencoder
    most, offset = max(made.samples), 0
    frames = math.ceil(most / autoencoder.downsampling) + autoencoder.decoder_margin
    latents = made.latents[..., :frames].to(autoencoder.dtype)
    for decoded in autoencoder.decode_pieces(latents, first=first, core=core):
        piece = usable(decoded[..., : most - offset].float().cpu())
        check_decoded(model, piece)
        for item, samples in zip(piece, made.samples, strict=True):
            item[..., max(0, samples - offset) :] = 0
        offset += piece.shape[-1]
        yield Audio(piece, model.sample_rate, tuple(made.seeds))
        if offset == most:
            return
