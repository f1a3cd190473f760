"""Encoding and decoding in overlapping chunks: same result, bounded memory (appendix B.1)."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class FrameChunk(NamedTuple):
    """Frames to compute (`low..high`) and, among them, the frames to keep (`start..stop`)."""

    low: int
    start: int
    stop: int
    high: int


def chunks(frames: int, *, core: int, margin: int) -> Iterator[FrameChunk]:
    """Cut `frames` into cores of `core` frames with up to `margin` more on either side."""
    if core < 1:
        raise ValueError(f"a chunk's core must be at least 1 latent frame, got {core}")
    for start in range(0, frames, core):
        stop = min(start + core, frames)
        yield FrameChunk(max(0, start - margin), start, stop, min(frames, stop + margin))


def decode_chunked(
    decode: Callable[[Tensor], Tensor],
    latents: Float[Tensor, "batch latent_channels frames"],
    *,
    core: int,
    margin: int,
    downsampling: int,
) -> Float[Tensor, "batch channels time"]:
    """Decode chunk by chunk; equal to `decode(latents)` when `margin` covers the reach."""
    audio: Tensor | None = None
    frames = latents.shape[-1]
    for chunk in chunks(frames, core=core, margin=margin):
        piece = decode(latents[..., chunk.low : chunk.high])
        first = (chunk.start - chunk.low) * downsampling
        length = (chunk.stop - chunk.start) * downsampling
        if audio is None:
            audio = piece.new_empty((*piece.shape[:-1], frames * downsampling))
        offset = chunk.start * downsampling
        audio[..., offset : offset + length] = piece[..., first : first + length]
    assert audio is not None, "the caller checks that there is at least one frame"
    return audio


def encode_chunked(
    encode: Callable[[Tensor], Tensor],
    audio: Float[Tensor, "batch channels time"],
    *,
    core: int,
    margin: int,
    downsampling: int,
) -> Float[Tensor, "batch parameters frames"]:
    """Encode chunk by chunk; every chunk starts on a multiple of `downsampling` samples.

    Silence is added to the last chunk to fill its last frame.
    """
    frames = -(-audio.shape[-1] // downsampling)
    pieces = []
    for chunk in chunks(frames, core=core, margin=margin):
        samples = audio[..., chunk.low * downsampling : chunk.high * downsampling]
        missing = (chunk.high - chunk.low) * downsampling - samples.shape[-1]
        piece = encode(F.pad(samples, (0, missing)))
        # A copy: a view would keep the whole piece, overlap included.
        pieces.append(piece[..., chunk.start - chunk.low : chunk.stop - chunk.low].clone())
    return torch.cat(pieces, dim=-1)
