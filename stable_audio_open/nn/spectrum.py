"""Short-time Fourier transforms with cheap derivatives.

The gradients of `torch.stft` (an overlapping view) and of `abs` of complex numbers cost several
times what their values do; written out as below, a loss over seven resolutions takes half the time.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# A window spans so many hops.
OVERLAP = 4

# auraloss' floor of the power spectrum, under the square root.
MINIMUM_POWER = 1e-8


def short_time_spectrum(
    audio: Float[Tensor, "batch channels time"],
    window: Float[Tensor, "size"],
    *,
    centred: bool = True,
) -> Complex[Tensor, "batch channels frames bins"]:
    """Return the spectra of windows a quarter of their size apart.

    The same numbers as `torch.stft` gives with a hop of a quarter.

    Args:
        audio: Longer than half a window, or at least a whole one where it is not centred.
        window: A multiple of four samples.
        centred: Reflect half a window at both ends, so that frame i is about sample i * hop;
            otherwise frame i starts there.
    """
    size = len(window)
    hop = size // OVERLAP
    if centred:
        audio = F.pad(audio, (size // 2, size // 2), mode="reflect")
    blocks = audio.unfold(-1, hop, hop)
    frames = blocks.shape[-2] - OVERLAP + 1
    parts = [blocks[..., i : i + frames, :] * part for i, part in enumerate(window.split(hop))]
    spectrum: Tensor = torch.fft.rfft(torch.cat(parts, dim=-1))
    return spectrum


class _Magnitude(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor) -> Tensor:
        # Not in place: a compiler gives no gradient to a result that was written to.
        magnitude = spectrum.abs().clamp(min=MINIMUM_POWER**0.5)
        ctx.save_for_backward(spectrum, magnitude)
        return magnitude

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        spectrum, magnitude = ctx.saved_tensors
        scale = torch.where(magnitude > MINIMUM_POWER**0.5, grad / magnitude, 0)
        slope: Tensor = spectrum * scale
        return slope


def magnitude(spectrum: Complex[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return absolute values of at least 1e-4, below which the gradient is 0.

    Differentiable once.
    """
    out: Tensor = _Magnitude.apply(spectrum)  # type: ignore[no-untyped-call]
    return out
