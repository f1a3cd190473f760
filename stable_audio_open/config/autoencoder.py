"""The autoencoder of section 2.1: waveform to latents and back."""

from math import prod
from typing import Annotated

from msgspec import Meta, Struct

from stable_audio_open.config.fields import PositiveFloat, Size

EvenStride = Annotated[int, Meta(ge=2, le=65536, multiple_of=2)]


class OobleckConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="oobleck"):
    """One side (encoder or decoder) of the convolutional autoencoder."""

    channels: Size
    """Channels of the layer at full sample rate."""
    multipliers: tuple[Size, ...]
    """Channels of each block at its low-rate end, in units of `channels`."""
    strides: tuple[EvenStride, ...]
    """Down- or upsampling factor of each block, counted from the full-rate end.

    Even, because kernels of twice the stride change the length by more than an odd factor.
    """
    final_tanh: bool = False
    """End the decoder in tanh (the paper found that it adds harmonic distortion)."""

    def __post_init__(self) -> None:
        """Check that every block has a multiplier and a stride."""
        if len(self.multipliers) != len(self.strides) or not self.strides:
            raise ValueError(
                "`multipliers` and `strides` must be non-empty and equally long, "
                f"found {len(self.multipliers)} and {len(self.strides)} items"
            )


class VaeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="vae"):
    """A diagonal Gaussian posterior: mean and softplus scale."""


class AutoencoderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Encoder, bottleneck and decoder."""

    encoder: OobleckConfig
    """Waveform to means and scales of the latents."""
    decoder: OobleckConfig
    """Latents to waveform."""
    bottleneck: VaeConfig
    """Means and scales to latents."""
    latent_channels: Size
    """Channels of the latents (64 when published)."""
    scale: PositiveFloat = 1.0
    """Latents are divided by this after encoding and multiplied before decoding."""
    iterate_batch: bool = False
    """Encode and decode the items of a batch one after the other, to save memory."""

    def __post_init__(self) -> None:
        """Check that encoder and decoder agree and that only a decoder has a tanh."""
        if prod(self.encoder.strides) != prod(self.decoder.strides):
            raise ValueError(
                f"`encoder.strides` downsample by {prod(self.encoder.strides)} but "
                f"`decoder.strides` upsample by {prod(self.decoder.strides)}; they must agree"
            )
        if self.encoder.final_tanh:
            raise ValueError("`encoder.final_tanh` must be false: only the decoder has a tanh")

    @property
    def downsampling(self) -> int:
        """Samples per latent frame (2048 when published)."""
        return prod(self.encoder.strides)
