"""Networks split over processes with PyTorch's fully_shard, and put together again."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from stable_audio_open.diffusion.block import TransformerBlock
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.latent_diffusion import LatentDiffusion


def shard_transformer(transformer: DiffusionTransformer, mesh: DeviceMesh) -> None:
    """Split every weight along its first axis; a block is whole only while it computes.

    Args:
        transformer: Changed in place: its weights become DTensors.
        mesh: One axis, over all processes.
    """
    for block in transformer.blocks:
        assert isinstance(block, TransformerBlock)
        # The context is projected before the blocks run: this layer is a group of its own.
        fully_shard(block.cross_attention.key_value, mesh=mesh)
        fully_shard(block, mesh=mesh)
    fully_shard(transformer, mesh=mesh)


def shard_trained(module: nn.Module, mesh: DeviceMesh) -> None:
    """Split what is trained of a module, as one group; each process keeps the rest whole."""
    frozen = {parameter for parameter in module.parameters() if not parameter.requires_grad}
    if any(parameter.requires_grad for parameter in module.parameters()):
        fully_shard(module, mesh=mesh, ignored_params=frozen)


def gathered(state: Any, *, keep: bool) -> Any:
    """Return a nested state with whole tensors on the CPU in place of split ones.

    All processes call it together, each with its part of the same state; None takes the place of
    the tensors where they are not to be kept.
    """

    def whole(leaf: Any) -> Any:
        if not isinstance(leaf, DTensor):
            return leaf
        tensor = leaf.full_tensor()
        return tensor.cpu() if keep else None

    return tree_map(whole, state)


def split_like(whole: Tensor, part: Tensor) -> Tensor:
    """Return this process' part of a whole tensor, as `part` is one; whole where that is whole."""
    if not isinstance(part, DTensor) or whole.shape != part.shape:
        return whole
    # Every process has read the same file: nothing needs to be sent.
    return distribute_tensor(
        whole.to(part.device), part.device_mesh, part.placements, src_data_rank=None
    )


def split_state(whole: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return a whole state dict split as the module's is; what does not fit it stays as it is."""
    own = module.state_dict()
    return {key: split_like(x, own[key]) if key in own else x for key, x in whole.items()}


def outline(model: LatentDiffusion) -> LatentDiffusion:
    """Return a copy of a model that is not split yet, to be filled by `filled`.

    It shares what sharding leaves whole; the other weights have a shape alone.
    """
    kept = [p for p in model.conditioner.parameters() if not p.requires_grad]
    memo: dict[int, Any] = {id(part): part for part in (model.autoencoder, *kept)}
    for parameter in model.parameters():
        memo.setdefault(id(parameter), nn.Parameter(parameter.to("meta"), requires_grad=False))
    return deepcopy(model, memo)


def filled(empty: LatentDiffusion, model: LatentDiffusion) -> LatentDiffusion:
    """Return a copy of an outline with the whole weights of a split model, on its device.

    All processes call it together. Each then holds the weights whole until it drops the copy.
    """
    whole = outline(empty)
    device = model.device
    # Tied weights have several names.
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if isinstance(parameter, DTensor):
            place, _, leaf = name.rpartition(".")
            weight = nn.Parameter(parameter.full_tensor().detach(), requires_grad=False)
            setattr(whole.get_submodule(place), leaf, weight)
    return whole.to(device)
