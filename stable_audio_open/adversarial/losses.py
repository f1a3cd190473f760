"""Losses of decoder and discriminators; every one is an average over the resolutions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.adversarial.discriminator import DiscriminatorOutput


def hinge_loss(
    real: Sequence[DiscriminatorOutput], decoded: Sequence[DiscriminatorOutput]
) -> Float[Tensor, ""]:
    """Return the discriminators' loss, `mean max(0, 1 - D(x)) + mean max(0, 1 + D(x'))`."""
    return _average(
        [
            F.relu(1 - of_real.logits).mean() + F.relu(1 + of_decoded.logits).mean()
            for of_real, of_decoded in zip(real, decoded, strict=True)
        ]
    )


def adversarial_loss(decoded: Sequence[DiscriminatorOutput]) -> Float[Tensor, ""]:
    """Return the decoder's loss, `-mean D(x')`."""
    return _average([-judgement.logits.mean() for judgement in decoded])


def feature_matching_loss(
    real: Sequence[DiscriminatorOutput], decoded: Sequence[DiscriminatorOutput]
) -> Float[Tensor, ""]:
    """Return the mean L1 distance of the activations, averaged over the layers.

    No gradient reaches the features of the real audio.
    """
    return _average(
        [
            _average(
                [
                    F.l1_loss(theirs, ours.detach())
                    for ours, theirs in zip(of_real.features, of_decoded.features, strict=True)
                ]
            )
            for of_real, of_decoded in zip(real, decoded, strict=True)
        ]
    )


def _average(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
