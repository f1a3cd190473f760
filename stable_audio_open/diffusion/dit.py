"""The diffusion transformer (section 2.2).

One call in training is `transformer(x, t, conditioning)`. In generation the same work is split,
so that what does not change from step to step is done once: `project` the conditioning,
`embed_times` of all steps, and then `predict` at every step.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.activation_checkpointing import (
    ActivationCheckpointing,
    run_block,
)
from stable_audio_open.diffusion.block import TransformerBlock
from stable_audio_open.nn.attention import AttentionBackend, KeyValue, QKNorm, check_backend
from stable_audio_open.nn.fourier import FourierFeatures
from stable_audio_open.nn.rotary import RotaryEmbedding, RotaryTable


class ProjectedConditioning(NamedTuple):
    """The conditioning as the blocks use it, and the rotary table of the window."""

    context: list[KeyValue]
    """Of each block; rows of the batch beyond theirs have a context of zeros."""
    global_: Float[Tensor, "batch width"]
    rotary: RotaryTable
    known: Float[Tensor, "batch known_channels frames"] | None = None
    """What is kept; of models with inpainting channels alone."""


def inpainting_channels(
    latents: Float[Tensor, "*batch channels frames"], kept: Float[Tensor, "*#batch 1 frames"]
) -> Float[Tensor, "*batch known_channels frames"]:
    """Return the mask, 1 where latents are kept, and the latents times the mask."""
    return torch.cat((kept.expand_as(latents[..., :1, :]), latents * kept), dim=-2)


class DiffusionTransformer(nn.Module):
    """Predict the velocity `v` of noised latents (of section 4.2, or of a rectified flow).

    Args:
        latent_channels: Channels of the latents.
        width: Features per token.
        depth: Number of blocks.
        heads: Query heads; each is `width / heads` wide.
        context_width: Features of the cross-attention tokens.
        global_width: Features of the global conditioning; 0 where there is none.
        time_frequencies: Fourier frequencies of the timestep.
        rotated: Features of each head that are rotated, an even number; half of them when None.
        qk_norm: What queries and keys go through.
        inpainting: Take, beside x, a mask and the latents that are kept.
        project_context: Bring the cross-attention tokens to `width` features; they stay as wide
            as they are otherwise.
        backend: Attention implementation.
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        width: int,
        depth: int,
        heads: int,
        context_width: int,
        global_width: int,
        time_frequencies: int = 128,
        rotated: int | None = None,
        qk_norm: QKNorm = "none",
        project_context: bool = False,
        inpainting: bool = False,
        backend: AttentionBackend = "sdpa",
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.activation_checkpointing: ActivationCheckpointing = "none"
        self.time_features = FourierFeatures(frequencies=time_frequencies)
        self.time_embedding = nn.Sequential(
            nn.Linear(2 * time_frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )
        projected_width = width if project_context else context_width
        self.context_projection = nn.Sequential(
            nn.Linear(context_width, projected_width, bias=False),
            nn.SiLU(),
            nn.Linear(projected_width, projected_width, bias=False),
        )
        self.global_projection = (
            nn.Sequential(
                nn.Linear(global_width, width, bias=False),
                nn.SiLU(),
                nn.Linear(width, width, bias=False),
            )
            if global_width
            else None
        )
        self.known_channels = latent_channels + 1 if inpainting else 0
        inputs = latent_channels + self.known_channels
        self.input_conv = nn.Conv1d(inputs, inputs, 1, bias=False)
        self.output_conv = nn.Conv1d(latent_channels, latent_channels, 1, bias=False)
        self.input_projection = nn.Linear(inputs, width, bias=False)
        self.output_projection = nn.Linear(width, latent_channels, bias=False)
        self.rotary = RotaryEmbedding(rotated=rotated or width // heads // 2)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                width=width,
                heads=heads,
                context_width=projected_width,
                backend=backend,
                qk_norm=qk_norm,
            )
            for _ in range(depth)
        )
        # Both convolutions are residual: from zero, they start as the identity.
        nn.init.zeros_(self.input_conv.weight)
        nn.init.zeros_(self.output_conv.weight)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.input_projection.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.input_projection.weight.dtype

    def set_backend(self, backend: AttentionBackend) -> None:
        """Use another attention implementation in every block.

        Raises:
            ValueError: When it is unknown or not installed.
        """
        backend = check_backend(backend)
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            block.self_attention.backend = backend
            block.cross_attention.backend = backend

    def add_inpainting_channels(self) -> None:
        """Take, beside x, a mask and the latents that are kept.

        What they are weighted by starts at 0: the network computes what it did.
        """
        assert not self.known_channels
        self.known_channels = self.latent_channels + 1
        inputs = self.latent_channels + self.known_channels
        own, projection = self.input_conv.weight, self.input_projection.weight
        conv = nn.Conv1d(inputs, inputs, 1, bias=False, device=own.device, dtype=own.dtype)
        linear = nn.Linear(
            inputs, self.input_projection.out_features, bias=False, device=own.device
        ).to(own.dtype)
        for wide, narrow in ((conv.weight, own), (linear.weight, projection)):
            nn.init.zeros_(wide)
            wide.data[: len(narrow), : self.latent_channels] = narrow.data
        self.input_conv, self.input_projection = conv, linear

    def embed_times(self, times: Float[Tensor, "steps"]) -> Float[Tensor, "steps width"]:
        """Embed timesteps in 0..1: Fourier features (cosines first), then two linear layers."""
        phases = self.time_features(times)
        features = torch.cat((phases.cos(), phases.sin()), dim=-1)
        out: Tensor = self.time_embedding(features.to(self.dtype))
        return out

    def project(self, conditioning: Conditioning, *, frames: int) -> ProjectedConditioning:
        """Do the part of the work that depends neither on the latents nor on the timestep.

        Args:
            conditioning: Conditioning of the batch; it may have fewer rows of cross-attention
                tokens, as rows beyond them have none but zeros.
            frames: Latent frames of the window.
        """
        context = self.context_projection(conditioning.cross.to(self.dtype))
        given = conditioning.global_.to(self.dtype)
        width = self.input_projection.out_features
        return ProjectedConditioning(
            context=[block.cross_attention.project(context) for block in self._blocks()],
            global_=(
                given.new_zeros(len(given), width)
                if self.global_projection is None
                else self.global_projection(given)
            ),
            rotary=self.rotary(frames + 1),
            known=self._known(conditioning, frames=frames) if self.known_channels else None,
        )

    def _known(self, conditioning: Conditioning, *, frames: int) -> Tensor:
        """Zeros are text to audio: nothing is kept."""
        if conditioning.known is not None:
            return conditioning.known.to(self.dtype)
        shape = (len(conditioning.global_), self.known_channels, frames)
        return torch.zeros(shape, dtype=self.dtype, device=conditioning.cross.device)

    def tokens(
        self,
        x: Float[Tensor, "batch latent_channels frames"],
        time: Float[Tensor, "batch_or_1 width"],
        projected: ProjectedConditioning,
    ) -> Float[Tensor, "batch tokens width"]:
        """Return what goes into the first block, `1 + frames` tokens.

        The sum of timestep and global embedding is prepended as one token at position 0.
        """
        if projected.known is not None:
            x = torch.cat((x, projected.known), dim=1)
        x = self.input_conv(x) + x
        tokens = self.input_projection(x.transpose(1, 2))
        prepended = (projected.global_ + time)[:, None]
        return torch.cat((prepended, tokens), dim=1)

    def predict(
        self,
        x: Float[Tensor, "batch latent_channels frames"],
        time: Float[Tensor, "batch_or_1 width"],
        projected: ProjectedConditioning,
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Predict the velocity from embedded times and projected conditioning."""
        return self._predict(x, time, projected, copies=1)

    def predict_pair(
        self,
        x: Float[Tensor, "batch latent_channels frames"],
        time: Float[Tensor, "batch_or_1 width"],
        projected: ProjectedConditioning,
    ) -> tuple[Float[Tensor, "batch channels frames"], Float[Tensor, "batch channels frames"]]:
        """Predict the velocities given one context and given another, as guidance needs both.

        Both halves are the same until they first look at their context, and what comes before it
        is computed once.

        Args:
            x: Latents with noise.
            time: Embedded times.
            projected: For the batch; its contexts are those of the batch and behind them those of
                the other half. Where there are no such, that half's context is all zeros.
        """
        one, other = self._predict(x, time, projected, copies=2).chunk(2)
        return one, other

    def _predict(
        self,
        x: Float[Tensor, "batch latent_channels frames"],
        time: Float[Tensor, "batch_or_1 width"],
        projected: ProjectedConditioning,
        *,
        copies: int,
    ) -> Float[Tensor, "copied_batch latent_channels frames"]:
        tokens = self.tokens(x, time, projected)
        for block, context in zip(self._blocks(), projected.context, strict=True):
            tokens = run_block(
                block, tokens, context, projected.rotary, copies, mode=self.activation_checkpointing
            )
            copies = 1
        out = self.output_projection(tokens[:, 1:]).transpose(1, 2)
        velocity: Tensor = self.output_conv(out) + out
        return velocity

    def forward(
        self,
        x: Float[Tensor, "batch latent_channels frames"],
        t: Float[Tensor, "batch"],
        conditioning: Conditioning,
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Predict the velocity of noised latents `x` at timesteps `t` in 0..1.

        Args:
            x: Latents with noise.
            t: Times of the objective that the model is trained with.
            conditioning: Conditioning of the batch.
        """
        projected = self.project(conditioning, frames=x.shape[-1])
        return self.predict(x.to(self.dtype), self.embed_times(t), projected)

    def _blocks(self) -> list[TransformerBlock]:
        return list(self.blocks)  # type: ignore[arg-type]
