"""Sound as soon as it is there: latents first, then piece by piece."""

import math
from collections.abc import Iterator, Sequence
from typing import Unpack

from stable_audio_open.arguments.checks import check_integer
from stable_audio_open.arguments.keywords import check_keywords
from stable_audio_open.audio.audio import Audio
from stable_audio_open.autoencoder.autoencoder import CORE_FRAMES
from stable_audio_open.editing.lengths import check_length, joint_duration, seconds_of
from stable_audio_open.editing.long import long_latents
from stable_audio_open.editing.timeline import PromptsOverTime
from stable_audio_open.generate import Generated, LatentOptions, generate_latents
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.inference import usable
from stable_audio_open.request.request import check_window
from stable_audio_open.waveforms import check_decoded

FIRST_FRAMES = 22
"""Latent frames of the first piece: half a second where a frame is 2048 samples."""

_LOOP = ": the start of a loop depends on its end; make it with generate"
NOT_STREAMED = {
    **dict.fromkeys(("loop", "bars", "bpm"), _LOOP),
    "samples": "; give duration, in seconds",
    "trim": ": its pieces end with the sound",
    "fade": ": its last piece is not known from the first; fade what is joined",
}
"""Arguments of `generate` that streams do not have, and why."""


def stream(
    model: LatentDiffusion,
    prompt: PromptsOverTime,
    *,
    duration: float | Sequence[float] | None = None,
    first: int = FIRST_FRAMES,
    core: int = CORE_FRAMES,
    **options: Unpack[LatentOptions],
) -> Iterator[Audio]:
    """Generate audio from text, and give its beginning before the rest is decoded.

    Joined, the pieces are what `generate` gives, but for rounding; bit by bit they are
    `autoencoder.decode(latents, first=first, core=core)`. There are none of loops, whose start
    depends on their end.

    Args:
        model: The trained system, in evaluation mode.
        prompt: As `generate` takes it.
        duration: Seconds of sound, or of each item; the window when None. Sounds may be longer.
        first: Latent frames of the first piece.
        core: Latent frames of the others.
        options: As of `generate`. Latents are generated at once, here.

    Returns:
        Pieces of all items, one after the other. An item that is shorter than the longest of the
        batch is silent from its end on.

    Raises:
        TypeError: When an argument is of a wrong type, or is none of streams.
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    for name, value in (("first", first), ("core", core)):
        if check_integer(value, name) < 1:
            raise ValueError(f"{name} must be at least 1 latent frame, got {value}")
    check_keywords(stream, options, reasons=NOT_STREAMED)
    check_length(duration=duration, samples=None, loop=False, bars=None, bpm=None)
    duration = seconds_of(duration, samples=None, bars=None, bpm=None, rate=model.sample_rate)
    window = check_window(model, options.get("window"))
    length = joint_duration(duration, prompt, window=window)
    if length is None:
        made = generate_latents(model, prompt, duration=duration, **options)  # type: ignore[arg-type]
    else:
        made = long_latents(model, prompt, duration=length, **options)
    return _pieces(model, made, first, core)


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
