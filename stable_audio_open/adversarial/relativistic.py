"""Losses of adversarial relativistic-contrastive post-training.

ARC: Novack et al. 2025, arXiv 2505.08175, section 3.
A score is the discriminator's mean over heads and frames: high where it takes latents for real,
and for those of the prompt. Real and generated latents are compared in pairs, of one prompt and one
noise level, by `softplus(-(a - b))`: 0 where a lies far above b (Jolicoeur-Martineau 2018).
"""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def discriminator_loss(
    real: Float[Tensor, "batch"], generated: Float[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """Return the mean of `softplus(-(real - generated))`: scores of real latents should be above.

    Args:
        real: Scores of noised latents of recordings.
        generated: Scores of what the student made of the same prompts, noised alike.
    """
    return F.softplus(generated - real).mean()


def student_loss(
    real: Float[Tensor, "batch"], generated: Float[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """Return the mean of `softplus(-(generated - real))`: the discriminator's, turned around."""
    return F.softplus(real - generated).mean()


def contrastive_loss(
    matching: Float[Tensor, "batch"],
    mismatching: Float[Tensor, "batch"],
    counted: Bool[Tensor, "batch"],
) -> Float[Tensor, ""]:
    """Return the mean of `softplus(-(matching - mismatching))`.

    Args:
        matching: Scores of latents of recordings with their own prompts.
        mismatching: Scores of the same with the prompts of others.
        counted: Items whose two prompts differ; the mean is over these, and 0 where there is none.
    """
    losses = F.softplus(mismatching - matching) * counted
    return losses.sum() / counted.sum().clamp(min=1)
