"""How far a frame sees: what chunked encoding and decoding must overlap to be exact.

The reach is computed from the layers themselves: the interval of outputs of one latent frame is
walked back, layer by layer, to the interval of inputs that it can depend on.
"""

from torch import nn

# Any frame far from the start gives the same reach; the walk goes through negative numbers anyway.
_FRAME = 1 << 12


def decoder_margin(decoder: nn.Module, *, downsampling: int) -> int:
    """Return the latent frames on either side that a decoded frame depends on (10 published).

    Args:
        decoder: Latents to waveform; its convolutions in the order of use.
        downsampling: Samples per latent frame.
    """
    low, high = _inputs_of(decoder, _FRAME * downsampling, (_FRAME + 1) * downsampling - 1)
    return max(_FRAME - low, high - _FRAME)


def encoder_margin(encoder: nn.Module, *, downsampling: int) -> int:
    """Return the frames on either side whose samples an encoded frame depends on (8 published).

    Args:
        encoder: Waveform to posterior parameters; its convolutions in the order of use.
        downsampling: Samples per latent frame.
    """
    low, high = _inputs_of(encoder, _FRAME, _FRAME)
    return max(_FRAME - low // downsampling, high // downsampling - _FRAME)


def _inputs_of(module: nn.Module, low: int, high: int) -> tuple[int, int]:
    """Return the first and last input that the outputs `low..high` depend on."""
    layers = [m for m in module.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    for layer in reversed(layers):
        stride, padding = layer.stride[0], layer.padding[0]
        assert isinstance(padding, int), "named paddings are not used here"
        reach = layer.dilation[0] * (layer.kernel_size[0] - 1)
        if isinstance(layer, nn.ConvTranspose1d):
            # Input i reaches the outputs i * stride - padding to i * stride - padding + reach.
            low = -((reach - padding - low) // stride)
            high = (high + padding) // stride
        else:
            low = low * stride - padding
            high = high * stride - padding + reach
    return low, high
