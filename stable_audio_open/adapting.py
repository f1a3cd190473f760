"""Adapters of a model at run time: the model's own weights are kept, and are those without them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stable_audio_open.arguments.checks import check_name, check_path, is_list
from stable_audio_open.checkpoint.lora.adapter import adapter_hash, check_adapters, read_adapter
from stable_audio_open.checkpoint.lora.merging import check_fit
from stable_audio_open.diffusion.adapted_weights import LoadedAdapter
from stable_audio_open.diffusion.adapters import AdapterUse
from stable_audio_open.diffusion.objective import process
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.given_adapters import (
    AdapterOptions,
    GivenAdapters,
    check_use,
    check_uses,
)

ALL_LEVELS = AdapterUse("").interval


def load_adapter(
    model: LatentDiffusion,
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    weight: float = 1.0,
    interval: tuple[float, float] = ALL_LEVELS,
    layers: Sequence[int | str] | None = None,
) -> str:
    """Load an adapter, which takes part from then on, beside those that do.

    Args:
        model: The system, whose own weights stay as they are. Adapters take part in what `generate`
            and the other methods compute, in one thread at a time; `model.transformer`, called by
            itself, has none.
        folder: An adapter in peft's format: LoRA, rank-stabilised LoRA or DoRA.
        name: What it is called; the folder's name when None.
        weight: How much of it: 1 for the full effect, 0 for none.
        interval: Lowest and highest noise level sigma at which it is active, both included; of
            flows too, where sigma is t / (1 - t).
        layers: What of it takes part: numbers of blocks, and patterns of layers' names in which `*`
            is anything, such as `"*.cross_attention.*"`; all of it when None.

    Returns:
        Its name.

    Raises:
        TypeError: An argument is of a wrong type.
        ValueError: It cannot be read, is of another model, has none of the layers, or its name is
            taken.
    """
    folder = check_path(folder, "folder")
    name = Path(folder).absolute().name if name is None else check_name(name, "name")
    use = check_use({"weight": weight, "interval": interval, "layers": layers}, name)
    adapter = read_adapter(folder)
    check_fit(model.transformer, adapter)
    # Files may change under what is mapped from them.
    changes = {
        layer: change._replace(down=change.down.clone(), up=change.up.clone())
        for layer, change in adapter.layers().items()
    }
    found = model.adapter_set
    found.load(name, LoadedAdapter(changes, folder=folder, digest=adapter_hash(folder)))
    try:
        found.use([*found.uses, use])
    except ValueError:
        found.unload(name)
        raise
    return name


def set_adapters(model: LatentDiffusion, adapters: GivenAdapters) -> None:
    """Say how adapters take part from now on; those that are not named do not.

    Args:
        model: The system.
        adapters: By name, in the order in which they are added, weights or settings:
            `{"a": 0.5, "b": {"weight": 1.0, "interval": (1, 80), "layers": [0, 1]}}`, see
            `load_adapter`; with none, the model is what it was.

    Raises:
        TypeError: A part is of a wrong type.
        ValueError: An adapter is not loaded, has none of the layers, or a number is out of its
            range.
    """
    model.adapter_set.use(check_uses(adapters, "adapters"))


def unload_adapter(model: LatentDiffusion, name: str) -> None:
    """Drop an adapter.

    Args:
        model: The system.
        name: What it is called.

    Raises:
        TypeError: The name is no string.
        ValueError: None of that name is loaded.
    """
    model.adapter_set.unload(check_name(name, "name"))


def adapters(model: LatentDiffusion) -> dict[str, AdapterOptions]:
    """Return every adapter that is loaded, and how it takes part, as `set_adapters` takes it.

    The weight of those that do not is 0.
    """
    found = model.adapter_set
    uses = {name: AdapterUse(name, weight=0.0) for name in found.loaded}
    uses |= {use.name: use for use in found.uses}
    return {
        name: {"weight": use.weight, "interval": use.interval, "layers": use.layers}
        for name, use in uses.items()
    }


@contextmanager
def merged(model: LatentDiffusion) -> Iterator[None]:
    """Have the adapters that take part in the weights, to save them.

    Raises:
        ValueError: One is active at some noise levels alone, which weights cannot be.
    """
    uses = model.adapter_set.uses
    for use, _ in model.adapter_set.effective(uses):
        if use.interval != ALL_LEVELS:
            low, high = use.interval
            raise ValueError(
                f"the adapter {use.name!r} is active between sigma {low:g} and {high:g} alone, "
                "which saved weights cannot be; set it without an interval, or unload it"
            )
    weights = model.adapter_set.weights(model.transformer, uses, time=process(model.objective).time)
    with weights.at(0.0):
        yield


def split_lora(
    lora: object,
) -> tuple[list[tuple[str, float]], list[tuple[str, Mapping[str, object]]]]:
    """Return the adapters of `load` that are merged, and those that are limited, by settings.

    Raises:
        TypeError: They are no list of pairs.
        ValueError: A number is out of its range.
    """
    if not is_list(lora):
        return check_adapters(lora), []
    limited: list[tuple[str, Mapping[str, object]]] = []
    rest: list[object] = []
    for pair in lora:
        if is_list(pair) and len(pair) == 2 and isinstance(pair[1], Mapping):
            folder = check_path(pair[0], "a folder of lora")
            check_use(pair[1], folder)
            limited.append((folder, pair[1]))
        else:
            rest.append(pair)
    return check_adapters(rest), limited


def load_limited(model: LatentDiffusion, folder: str, settings: Mapping[str, object]) -> None:
    """Load an adapter by settings, under a name that is free: its folder's, or that and a number.

    Raises:
        ValueError: For the reasons of `load_adapter`.
    """
    stem = Path(folder).absolute().name
    names = (stem, *(f"{stem}-{number}" for number in range(2, 2 + len(model.adapter_set.loaded))))
    name = next(one for one in names if one not in model.adapter_set.loaded)
    load_adapter(model, folder, name=name, **settings)  # type: ignore[arg-type]
