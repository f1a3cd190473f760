"""Strict loading: every tensor has its place, and every place its tensor."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from stable_audio_open.checkpoint.source import Checkpoint
from stable_audio_open.checkpoint.weights.key_map import IDENTITY, KeyMap, Rule
from stable_audio_open.checkpoint.weights.mapped_pages import MappedPages
from stable_audio_open.checkpoint.weights.precision import check_range
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.nn.weights import told, type_fault, value_fault, value_faults

LISTED = 10


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    source: str,
    keys: KeyMap = IDENTITY,
    optional: str | None = None,
    dtype_of: Callable[[str], torch.dtype] | None = None,
) -> None:
    """Give a module its tensors.

    What the module has on the meta device takes the file's tensor as it is; what it has elsewhere
    takes the numbers and keeps its device and type. Each number is read once, to know that it is
    finite: of a mapped file, that brings it into memory.

    Args:
        module: The module.
        tensors: Tensors by the names of the file.
        source: The file, for messages.
        keys: Map between the module's names and the file's.
        optional: Prefix of a part of the module that the file may leave out as a whole.
        dtype_of: Type of each floating-point tensor by its name in the module, which is on the meta
            device then. It is converted as soon as it was read, and what the file took of memory
            for it is given back.

    Raises:
        CheckpointError: When a tensor is missing, unexpected or of another shape. All of them are
            counted and the first ten of each fault are listed, as the file names them. When one is
            of a type that no weights have (integers, complex, sparse, quantised), or not finite.
    """
    state = module.state_dict()
    keys = keys.select(state)
    if optional is not None:
        keys = replace(keys, rules=_without_absent(keys.rules, state, tensors, optional))
    check_fit(keys.to_foreign(state), tensors, source=source)
    if dtype_of is None:
        if fault := value_fault(tensors):
            raise CheckpointError(f"{source}: {fault}")
        own = keys.to_native(tensors)
    else:
        own = _converted(tensors, keys, dtype_of, source=source)
    for name, tensor in _apart(own, state).items():
        _set(module, name, tensor)


def load_autoencoder_strictly(
    autoencoder: nn.Module,
    checkpoint: Checkpoint,
    *,
    dtype_of: Callable[[str], torch.dtype] | None = None,
) -> None:
    """Give an autoencoder its tensors from a checkpoint of one alone, or of a whole model.

    Args:
        autoencoder: The autoencoder.
        checkpoint: The checkpoint.
        dtype_of: As for `load_strictly`.

    Raises:
        CheckpointError: As in `load_strictly`.
    """
    tensors, source, keys = checkpoint.tensors, str(checkpoint.path), checkpoint.keys
    if isinstance(checkpoint.config, AutoencoderModelConfig):
        load_strictly(autoencoder, tensors, source=source, keys=keys, dtype_of=dtype_of)
    else:
        load_part_strictly(
            autoencoder, "autoencoder", tensors, source=source, keys=keys, dtype_of=dtype_of
        )


def load_part_strictly(
    part: nn.Module,
    name: str,
    tensors: Mapping[str, Tensor],
    *,
    source: str,
    keys: KeyMap,
    dtype_of: Callable[[str], torch.dtype] | None = None,
) -> None:
    """Give one part of a model its tensors from a file of the whole model.

    Args:
        part: The part.
        name: What the whole model calls it.
        tensors: Those of the whole model, as the file names them.
        source: The file, for messages.
        keys: Map between the whole model's names and the file's.
        dtype_of: As for `load_strictly`.

    Raises:
        CheckpointError: As in `load_strictly`.
    """
    holder = nn.ModuleDict({name: part})
    names = holder.state_dict()
    rules = keys.select(names).rules
    computed = {known: tensor for known, tensor in keys.computed.items() if known in names}
    theirs = [known for rule in rules for known in rule.foreign if known in tensors]
    load_strictly(
        holder,
        {known: tensors[known] for known in theirs},
        source=source,
        keys=KeyMap(rules, computed),
        dtype_of=dtype_of,
    )


def _without_absent(
    rules: Sequence[Rule], state: Mapping[str, Tensor], found: Container[str], optional: str
) -> tuple[Rule, ...]:
    """Drop the rules of an optional part that the file leaves out.

    Two names of one tensor (T5's embedding has two) need only be there once.
    """
    there = [rule for rule in rules if all(name in found for name in rule.foreign)]
    part = [rule for rule in there if rule.native.startswith(optional)]
    stored = {state[rule.native].data_ptr() for rule in part}
    return tuple(
        rule
        for rule in rules
        if not rule.native.startswith(optional)
        or rule in there
        or (part and state[rule.native].data_ptr() not in stored)
    )


@torch.no_grad()
def _converted(
    tensors: Mapping[str, Tensor],
    keys: KeyMap,
    dtype_of: Callable[[str], torch.dtype],
    *,
    source: str,
) -> dict[str, Tensor]:
    """Return native tensors in their types, each read from the file once."""
    converted = dict(keys.computed)
    faults: list[str] = []
    pages = MappedPages()
    for rule in keys.rules:
        parts = {name: tensors[name] for name in rule.foreign}
        faults += value_faults(parts)
        tensor = rule.to_native(list(parts.values()))
        if not faults and tensor.is_floating_point() and tensor.dtype != dtype_of(rule.native):
            check_range(rule.native, tensor, dtype_of(rule.native))
            tensor = tensor.to(dtype_of(rule.native))
            for part in parts.values():
                pages.release(part)
        converted[rule.native] = tensor
    if faults:
        raise CheckpointError(f"{source}: {told(faults)}")
    return converted


@torch.no_grad()
def _apart(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that share no memory with each other, nor within themselves.

    What shares it in a file would be changed together in training.

    Args:
        tensors: Tensors by name.
        state: The module's own, which are given the numbers where they are not on the meta device.
    """
    whole = {
        name: tensor if not state[name].is_meta else tensor.contiguous()
        for name, tensor in tensors.items()
    }
    end = 0
    for name in sorted(whole, key=lambda name: whole[name].data_ptr()):
        tensor = whole[name]
        if not state[name].is_meta or not tensor.numel():
            continue
        if tensor.data_ptr() < end:
            whole[name] = tensor.clone()
        end = max(end, tensor.data_ptr() + tensor.numel() * tensor.element_size())
    return whole


@torch.no_grad()
def _set(module: nn.Module, name: str, tensor: Tensor) -> None:
    prefix, _, leaf = name.rpartition(".")
    owner = module.get_submodule(prefix)
    old: Tensor = getattr(owner, leaf)
    if not old.is_meta:
        old.copy_(tensor)
    elif isinstance(old, nn.Parameter):
        setattr(owner, leaf, nn.Parameter(tensor, requires_grad=old.requires_grad))
    else:
        setattr(owner, leaf, tensor)


def check_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, source: str) -> None:
    """Check that names, types and shapes of two sets of weights agree.

    Raises:
        CheckpointError: They do not.
    """
    if fault := type_fault(found, expected):
        raise CheckpointError(f"{source}: {fault}")
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        f"{name} {list(found[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    told = [f"{len(names)} {fault}: {_list(names)}" for fault, names in faults.items() if names]
    if told:
        raise CheckpointError(
            f"{source} does not fit its configuration: {'; '.join(told)}; use the configuration "
            "that the weights were trained with"
        )


def _list(names: Sequence[str]) -> str:
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
