"""Checkpoints of CLAP: a folder of transformers' `ClapModel`, or a file of LAION-CLAP."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stable_audio_open.audio_models.checkpoint_hash import checkpoint_hash
from stable_audio_open.audio_models.clap.laion import read_laion
from stable_audio_open.audio_models.clap.network import ClapEmbedder
from stable_audio_open.audio_models.pickles import read_pickled_weights
from stable_audio_open.files.inside import is_name
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.nn.weights import type_fault, value_fault

FILES = ("config.json", "preprocessor_config.json")
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files of weights: transformers reads the first that is there, whatever else lies beside it."""
INDICES = ("position_ids", "token_type_ids", "relative_position_index")
"""Buffers that some versions of transformers wrote; nothing in them is learnt."""
_UNREADABLE = (ValueError, RuntimeError, TypeError, AttributeError, LookupError)
"""What transformers raises for settings of other types than it takes."""
DOWNLOAD = (
    "download 630k-audioset-fusion-best.pt from https://huggingface.co/lukewys/laion_clap, and "
    "vocab.json and merges.txt of https://huggingface.co/FacebookAI/roberta-base beside it; or the "
    "folder laion/clap-htsat-fused or another checkpoint of transformers' ClapModel"
)


def load_clap(
    path: str | Path, *, crop_seed: int | None = None, device: str | torch.device = "cpu"
) -> ClapEmbedder:
    """Return the embedder of a checkpoint; nothing is fetched.

    Args:
        path: A folder in the layout of transformers' `ClapModel` (config.json,
            preprocessor_config.json and the weights), or a file of LAION-CLAP such as
            `630k-audioset-fusion-best.pt`, which the paper's CLAP score is computed with. Texts
            need RoBERTa's vocab.json and merges.txt in the folder, or beside the file.
        crop_seed: Crop a long recording as LAION-CLAP does, as in `ClapEmbedder`.
        device: Where to compute.

    Raises:
        ValueError: There is no such model, or its tensors are not just those of `ClapModel`.
    """
    path = Path(path)
    if path.is_dir():
        model, extractor, weights = _transformers(path)
        folder = path
    elif path.is_file():
        model, extractor = read_laion(path)
        folder, weights = path.parent, [path]
    else:
        raise ValueError(f"{path}: no such folder or file; {DOWNLOAD}")
    return ClapEmbedder(
        model,
        extractor,
        vocabulary=folder,
        name=f"clap:{path.resolve().name}:{checkpoint_hash(weights)}",
        crop_seed=crop_seed,
        device=device,
    )


def _transformers(folder: Path) -> tuple[Any, Any, list[Path]]:
    weights = _weights(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing or not weights:
        raise ValueError(
            f"{folder}: holds no CLAP model ({', '.join(missing) or 'no weights'} missing); "
            f"{DOWNLOAD}"
        )
    for name in FILES:
        _check_object(folder / name)
    from transformers import ClapFeatureExtractor, ClapModel

    try:
        extractor: Any = ClapFeatureExtractor.from_pretrained(folder)
        loaded: Any = ClapModel.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, *_UNREADABLE, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder}: not a checkpoint of ClapModel ({reason})") from error
    model, loading = loaded
    absent = sorted(loading["missing_keys"])
    unknown = sorted(name for name in loading["unexpected_keys"] if not name.endswith(INDICES))
    if absent:
        raise ValueError(f"{folder}: lacks {len(absent)} weights of ClapModel, {absent[0]} first")
    if unknown:
        raise ValueError(
            f"{folder}: has {len(unknown)} tensors that ClapModel has not, {unknown[0]} first; "
            "give the folder of a ClapModel alone"
        )
    _check_numbers(weights, model.state_dict())
    return model, extractor, weights


def _check_object(path: Path) -> None:
    try:
        msgspec.json.decode(path.read_bytes(), type=dict)
    except NOT_JSON as error:
        raise ValueError(f"{path}: not settings of ClapModel ({error}); {DOWNLOAD}") from error


def _check_numbers(weights: Sequence[Path], own: Mapping[str, Tensor]) -> None:
    """Look at the numbers of the files, which transformers converts whatever they are."""
    for path in weights:
        tensors = _tensors(path)
        used = {name: tensor for name, tensor in tensors.items() if name in own}
        if fault := type_fault(used, own) or value_fault(used):
            raise ValueError(f"{path}: {fault}")


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if path.suffix != ".safetensors":
        content: Mapping[str, Tensor] = read_pickled_weights(path)
        return content
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _weights(folder: Path) -> list[Path]:
    """Return the files that transformers reads, in its order of preference; none where none is.

    Raises:
        ValueError: The index of a checkpoint in parts is damaged, or a part is missing.
    """
    for name in WEIGHTS:
        path = folder / name
        if not path.is_file():
            continue
        if path.suffix != ".json":
            return [path]
        try:
            parts = sorted(
                set(msgspec.json.decode(path.read_bytes(), type=_Index).weight_map.values())
            )
        except NOT_JSON as error:
            raise ValueError(
                f"{path}: not an index of weights ({error}); download it again"
            ) from error
        if outside := [part for part in parts if not is_name(part)]:
            raise ValueError(f"{path}: names {outside[0]!r}; allowed: files in the same folder")
        missing = [part for part in parts if not (folder / part).is_file()]
        if missing:
            raise ValueError(f"{folder}: lacks {missing[0]}, which {name} names; {DOWNLOAD}")
        return [folder / part for part in parts]
    return []


class _Index(msgspec.Struct):
    weight_map: dict[str, str]
    """File by tensor."""
