"""The autoencoder: 44.1 kHz stereo to latents at 21.5 Hz and back (section 2.1)."""

import warnings
from collections.abc import Iterator
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from stable_audio_open.arguments.checks import check_flag, check_integer, wrong_type
from stable_audio_open.autoencoder.bottleneck import Posterior
from stable_audio_open.autoencoder.chunked import decode_chunked, decode_pieces, encode_chunked
from stable_audio_open.autoencoder.receptive_field import decoder_margin, encoder_margin

CORE_FRAMES = 128


class AudioAutoencoder(nn.Module):
    """Encoder, variational bottleneck and decoder.

    Args:
        encoder: Waveform to posterior parameters (means, then scales).
        decoder: Latents to waveform.
        sample_rate: Samples per second.
        audio_channels: Channels of the waveform.
        latent_channels: Channels of the latents.
        downsampling: Samples per latent frame.
        scale: Latents are divided by it when encoded, multiplied when decoded.
        iterate_batch: Take the items of a batch one after the other.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        sample_rate: int,
        audio_channels: int,
        latent_channels: int,
        downsampling: int,
        scale: float = 1.0,
        iterate_batch: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.sample_rate = sample_rate
        self.audio_channels = audio_channels
        self.latent_channels = latent_channels
        self.downsampling = downsampling
        self.scale = scale
        self.iterate_batch = iterate_batch

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.parameters()).dtype

    @cached_property
    def encoder_margin(self) -> int:
        """Frames by which chunks must overlap when encoding."""
        return encoder_margin(self.encoder, downsampling=self.downsampling)

    @cached_property
    def decoder_margin(self) -> int:
        """Frames by which chunks must overlap when decoding."""
        return decoder_margin(self.decoder, downsampling=self.downsampling)

    def posterior(
        self,
        audio: Float[Tensor, "batch channels time"],
        *,
        chunked: bool = False,
        core: int = CORE_FRAMES,
    ) -> Posterior:
        """Return the distribution of the (unscaled) latents of a waveform.

        The end is padded with silence to a whole number of frames.

        Args:
            audio: The waveform, nominally in -1..1.
            chunked: Work in chunks, which bounds memory and keeps no gradients.
            core: Frames per chunk, overlap not counted.

        Raises:
            ValueError: When the audio is empty or has another number of channels.
        """
        self._check_audio(audio)
        _check_chunks(chunked=chunked, core=core)
        self._check_kind(audio, "audio")
        if audio.shape[-1] == 0:
            raise ValueError("audio must have at least one sample, got none")
        if not chunked:
            audio = F.pad(audio, (0, -audio.shape[-1] % self.downsampling))
            return Posterior.from_parameters(self.encoder(audio))
        with torch.no_grad(), parametrize.cached():
            parameters = encode_chunked(
                self.encoder,
                audio,
                core=core,
                margin=self.encoder_margin,
                downsampling=self.downsampling,
            )
        return Posterior.from_parameters(parameters)

    def encode(
        self,
        audio: Float[Tensor, "batch channels time"],
        *,
        sample: bool = False,
        generator: torch.Generator | None = None,
        chunked: bool = True,
        core: int = CORE_FRAMES,
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Encode a waveform, nominally in -1..1; the last frame is padded with silence.

        Args:
            audio: The waveform.
            sample: Draw from the posterior instead of taking its mean.
            generator: Source of the draw.
            chunked: Work in chunks, which bounds memory, changes the result by rounding alone and
                keeps no gradients; pass False to differentiate.
            core: Frames per chunk, overlap not counted.

        Raises:
            ValueError: When the audio is empty or has another number of channels.
        """
        self._check_audio(audio)
        check_flag(sample, "sample")
        if generator is not None and not isinstance(generator, torch.Generator):
            raise wrong_type(generator, "generator", "a torch.Generator")
        if self.iterate_batch and len(audio) > 1:
            items = [
                self.encode(item, sample=sample, generator=generator, chunked=chunked, core=core)
                for item in audio.split(1)
            ]
            return torch.cat(items)
        posterior = self.posterior(audio, chunked=chunked, core=core)
        latents = posterior.sample(generator) if sample else posterior.mean
        return latents / self.scale

    def decode(
        self,
        latents: Float[Tensor, "batch latent_channels frames"],
        *,
        chunked: bool = True,
        core: int = CORE_FRAMES,
        first: int | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """Decode latents to `frames * downsampling` samples.

        Args:
            latents: The latents.
            chunked: Work in chunks, which bounds memory, changes the result by rounding alone and
                keeps no gradients; pass False to differentiate.
            core: Frames per chunk, overlap not counted.
            first: Frames of the first chunk; as of the others when None.

        Warns:
            UserWarning: When chunks keep no gradient that the latents ask for.

        Raises:
            ValueError: When there is no frame or another number of channels.
        """
        self._check_latents(latents)
        _check_chunks(chunked=chunked, core=core, first=first)
        if self.iterate_batch and len(latents) > 1:
            return torch.cat(
                [
                    self.decode(item, chunked=chunked, core=core, first=first)
                    for item in latents.split(1)
                ]
            )
        if not chunked:
            return self._decode(latents)
        if latents.requires_grad and torch.is_grad_enabled():
            warnings.warn(
                "decoding in chunks keeps no gradients, and the latents ask for them: pass "
                "chunked=False, or latents.detach()",
                stacklevel=2,
            )
        with torch.no_grad(), parametrize.cached():
            return decode_chunked(
                self._decode,
                latents,
                core=core,
                margin=self.decoder_margin,
                downsampling=self.downsampling,
                first=first,
            )

    def decode_pieces(
        self,
        latents: Float[Tensor, "batch latent_channels frames"],
        *,
        core: int = CORE_FRAMES,
        first: int | None = None,
    ) -> Iterator[Float[Tensor, "batch channels time"]]:
        """Decode latents piece by piece: joined, what `decode` gives in the same chunks.

        Args:
            latents: The latents.
            core: Frames of a piece.
            first: Frames of the first piece; as of the others when None.

        Raises:
            ValueError: When there is no frame or another number of channels.
        """
        self._check_latents(latents)
        _check_chunks(core=core, first=first)
        pieces = decode_pieces(
            self._decode_each if self.iterate_batch else self._decode,
            latents,
            core=core,
            margin=self.decoder_margin,
            downsampling=self.downsampling,
            first=first,
        )
        while True:
            # Not held while the caller works.
            with torch.no_grad(), parametrize.cached():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def _check_audio(self, audio: object) -> None:
        if not isinstance(audio, Tensor):
            raise wrong_type(audio, "audio", f"a tensor [batch, {self.audio_channels}, time]")
        if audio.ndim != 3 or audio.shape[1] != self.audio_channels:
            raise ValueError(
                f"audio must be [batch, {self.audio_channels}, time], got {list(audio.shape)}"
            )

    def _check_kind(self, x: Tensor, name: str) -> None:
        """Check type, which autocasting adapts by itself, and device."""
        verb = "are" if name.endswith("s") else "is"
        if x.dtype != self.dtype and not torch.is_autocast_enabled(self.device.type):
            raise TypeError(
                f"{name} {verb} {x.dtype} and the weights are {self.dtype}; pass "
                f"{name}.to(autoencoder.dtype)"
            )
        if x.device != self.device:
            raise ValueError(
                f"{name} {verb} on {x.device} and the weights are on {self.device}; pass "
                f"{name}.to(autoencoder.device)"
            )

    def _check_latents(self, latents: object) -> None:
        if not isinstance(latents, Tensor):
            raise wrong_type(
                latents, "latents", f"a tensor [batch, {self.latent_channels}, frames]"
            )
        if latents.ndim != 3 or latents.shape[1] != self.latent_channels or not latents.shape[2]:
            raise ValueError(
                f"latents must be [batch, {self.latent_channels}, frames >= 1], "
                f"got {list(latents.shape)}"
            )
        self._check_kind(latents, "latents")

    def _decode_each(self, latents: Tensor) -> Tensor:
        return torch.cat([self._decode(item) for item in latents.split(1)])

    def _decode(self, latents: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(latents * self.scale)
        return decoded

    @torch.no_grad()
    def reconstruct(
        self, audio: Float[Tensor, "batch channels time"]
    ) -> Float[Tensor, "batch channels time"]:
        """Encode and decode a waveform: means of the posterior, in chunks, as long as the input.

        Args:
            audio: Nominally in -1..1, of any floating type and on any device.

        Returns:
            In float32 at least, on the input's device.

        Raises:
            ValueError: When the audio is empty or has another number of channels.
            FloatingPointError: When samples come out NaN or infinite.
        """
        self._check_audio(audio)
        if not audio.is_floating_point():
            raise TypeError(f"audio must be of a floating type, got {audio.dtype}")
        decoded = self.decode(self.encode(audio.to(self.device, self.dtype)))
        wide = torch.promote_types(self.dtype, torch.float32)
        decoded = decoded[..., : audio.shape[-1]].to(audio.device, wide)
        if not decoded.isfinite().all():
            raise FloatingPointError(
                f"the autoencoder gave NaN or infinite samples in {self.dtype}; use float32, or "
                "check the checkpoint"
            )
        return decoded


def _check_chunks(*, core: int, chunked: bool = True, first: int | None = None) -> None:
    """Check how work is cut into pieces.

    Raises:
        TypeError: An argument is of a wrong type.
    """
    check_flag(chunked, "chunked")
    check_integer(core, "core")
    if first is not None:
        check_integer(first, "first")
