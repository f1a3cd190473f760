"""What judges latents: the first blocks of a diffusion transformer, with small heads."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.activation_checkpointing import run_block
from stable_audio_open.diffusion.dit import DiffusionTransformer

KERNEL = 5
"""Frames that a head sees at once."""


class LatentDiscriminator(nn.Module):
    """Score noised latents by the features of a transformer that was trained to denoise them.

    After each block a head looks at the frames' tokens; the score is the mean of all heads over all
    frames (Novack et al. 2025, section 3.1).

    Args:
        transformer: The transformer whose first blocks are copied, with what comes before them.
        blocks: How many of its blocks.
        channels: Channels of the heads.

    Raises:
        ValueError: When the transformer has fewer blocks.
    """

    def __init__(
        self, transformer: DiffusionTransformer, *, blocks: int, channels: int = 256
    ) -> None:
        super().__init__()
        self.backbone = _first_blocks(transformer, blocks)
        width = transformer.input_projection.out_features
        self.heads = nn.ModuleList(
            DiscriminatorHead(width=width, channels=channels) for _ in range(blocks)
        )

    def forward(
        self,
        x: Float[Tensor, "batch latent_channels frames"],
        t: Float[Tensor, "batch"],
        conditioning: Conditioning,
    ) -> Float[Tensor, "batch"]:
        """Return scores, high where noised latents are taken for those of a recording.

        Args:
            x: Latents with noise, as the transformer takes them.
            t: Times of the noise, in 0..1.
            conditioning: Conditioning of the batch.
        """
        backbone = self.backbone
        projected = backbone.project(conditioning, frames=x.shape[-1])
        tokens = backbone.tokens(x.to(backbone.dtype), backbone.embed_times(t), projected)
        scores = []
        rows = zip(backbone.blocks, self.heads, projected.context, strict=True)
        for block, head, context in rows:
            tokens = run_block(
                block, tokens, context, projected.rotary, mode=backbone.activation_checkpointing
            )
            scores.append(head(tokens[:, 1:]))
        # Sums of half precision would lose what differs between two scores.
        return torch.stack(scores).to(torch.promote_types(x.dtype, torch.float32)).mean(dim=0)


class DiscriminatorHead(nn.Module):
    """Score the tokens of frames, some frames at a time.

    Args:
        width: Features per token.
        channels: Channels of the hidden layers.
    """

    def __init__(self, *, width: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.input = nn.Linear(width, channels)
        self.convolution = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2)
        # What all scores have in common changes no difference of two.
        self.output = nn.Conv1d(channels, 1, 1, bias=False)
        self.activation = nn.SiLU()

    def forward(self, tokens: Float[Tensor, "batch frames width"]) -> Float[Tensor, "batch"]:
        """Return the mean score over the frames."""
        hidden = self.activation(self.input(self.norm(tokens))).transpose(1, 2)
        scores: Tensor = self.output(self.activation(self.convolution(hidden)))
        return scores.mean(dim=(1, 2))


def _first_blocks(transformer: DiffusionTransformer, blocks: int) -> DiffusionTransformer:
    """Return a trainable copy that ends after so many blocks, without what comes behind the last.

    Raises:
        ValueError: When there are fewer.
    """
    if blocks > len(transformer.blocks):
        raise ValueError(
            f"a discriminator of {blocks} blocks needs a transformer of as many, which has "
            f"{len(transformer.blocks)}"
        )
    copied = copy.deepcopy(transformer).requires_grad_(True)
    copied.blocks = copied.blocks[:blocks]
    del copied.output_projection, copied.output_conv
    return copied
