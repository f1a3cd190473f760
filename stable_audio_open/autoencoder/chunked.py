"""Encoding and decoding in overlapping chunks: same result, bounded memory (appendix B.1)."""

import itertools
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


def chunks(
    frames: int, *, core: int, margin: int, first: int | None = None
) -> Iterator[FrameChunk]:
    """Cut `frames` into cores of `core` frames with up to `margin` more on either side.

    The first core has `first` frames, where that is given.

    Raises:
        ValueError: A core has less than one frame.
    """
    for given in (core, core if first is None else first):
        if given < 1:
            raise ValueError(f"a chunk's core must be at least 1 latent frame, got {given}")
    starts = [0, *range(core if first is None else first, frames, core)]
    for start, stop in itertools.pairwise([*starts, frames]):
        yield FrameChunk(max(0, start - margin), start, stop, min(frames, stop + margin))


def decode_pieces(
    decode: Callable[[Tensor], Tensor],
    latents: Float[Tensor, "batch latent_channels frames"],
    *,
    core: int,
    margin: int,
    downsampling: int,
    first: int | None = None,
) -> Iterator[Float[Tensor, "batch channels time"]]:
    """Decode chunk by chunk, and yield the sound of each core as soon as it is there."""
    for chunk in chunks(latents.shape[-1], core=core, margin=margin, first=first):
        piece = decode(latents[..., chunk.low : chunk.high])
        begin = (chunk.start - chunk.low) * downsampling
        yield piece[..., begin : begin + (chunk.stop - chunk.start) * downsampling]


def decode_chunked(
    decode: Callable[[Tensor], Tensor],
    latents: Float[Tensor, "batch latent_channels frames"],
    *,
    core: int,
    margin: int,
    downsampling: int,
    first: int | None = None,
) -> Float[Tensor, "batch channels time"]:
    """Decode chunk by chunk; equal to `decode(latents)` when `margin` covers the reach."""
    audio: Tensor | None = None
    offset = 0
    for piece in decode_pieces(
        decode, latents, core=core, margin=margin, downsampling=downsampling, first=first
    ):
        if audio is None:
            audio = piece.new_empty((*piece.shape[:-1], latents.shape[-1] * downsampling))
        audio[..., offset : offset + piece.shape[-1]] = piece
        offset += piece.shape[-1]
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
