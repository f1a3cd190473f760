"""Weight normalisation (Salimans and Kingma 2016), under the names of PyTorch's own.

PyTorch's cannot be pickled, since it leaves a hook without a name on the layer, and on the meta
device, where a model is built before its weights are read, it takes a third of the time of loading.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization


class WeightNorm(nn.Module):
    """The weight `gain * direction / |direction|`, with a norm for each index of the first axis."""

    def forward(self, gain: Tensor, direction: Tensor) -> Tensor:
        """Return the weight."""
        return torch._weight_norm(direction, gain, 0)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return gain and direction of a weight, which is its own direction."""
        if weight.is_meta:
            return weight.new_empty(len(weight), *(1 for _ in weight.shape[1:])), weight
        return torch.norm_except_dim(weight, 2, 0), weight


def normalise_weight(layer: nn.Module) -> None:
    """Make a layer's weight a product of gain and direction, which are trained in its place.

    They are `parametrizations.weight.original0` and `original1` of its state.
    """
    # What is called unsafe is that nobody checks whether type and shape stay; they do.
    register_parametrization(layer, "weight", WeightNorm(), unsafe=True)
