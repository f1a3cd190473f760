"""Weights as diffusers and transformers write them: whole, in shards with an index, or a variant.

`NAME.safetensors`; `NAME.safetensors.index.json` with `NAME-00001-of-00002.safetensors`; and
`NAME.fp16.safetensors`, or `NAME.safetensors.index.fp16.json` with
`NAME.fp16-00001-of-00002.safetensors`, of the variant fp16.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.checkpoint.folder import write_tensors
from stable_audio_open.checkpoint.weights.tensors import CheckpointError, read_tensors
from stable_audio_open.config.values.json_text import parse_json
from stable_audio_open.files.inside import is_name

VARIANTS = ("fp32", "fp16", "bf16")
"""Taken in this order where the weights themselves are not there; others come after, by name."""


class Weights(NamedTuple):
    """Files that hold the weights of one model."""

    file: str
    """The whole, or the index of its shards."""
    shards: tuple[str, ...]
    """Files that look like its shards; none for a whole file."""
    variant: str | None


def find_weights(
    files: Iterable[str], names: Sequence[str], *, variant: str | None = None
) -> Weights | None:
    """Return the files to read, of all files of a folder; None where it has none.

    Args:
        files: Files in the folder.
        names: Names of whole files, such as `model.safetensors`, in the order of preference.
        variant: Taken where it is there, before the weights as such.
    """
    there = set(files)
    for kind in dict.fromkeys((variant, None, *_variants(there, names))):
        for name in names:
            stem, suffix, middle = _parts(name, kind)
            if f"{stem}{middle}{suffix}" in there:
                return Weights(f"{stem}{middle}{suffix}", (), kind)
            index = f"{name}.index{middle}.json"
            if index in there:
                shards = sorted(file for file in there if _is_shard(file, name, kind))
                return Weights(index, tuple(shards), kind)
    return None


def holds(file: str, name: str, variant: str | None) -> bool:
    """Say whether a file holds weights of one variant, or a part of them, or is their index.

    Args:
        file: Name of the file.
        name: Name of the whole file, such as `model.safetensors`.
        variant: None for the weights as such.
    """
    stem, suffix, middle = _parts(name, variant)
    whole = (f"{stem}{middle}{suffix}", f"{name}.index{middle}.json")
    return file in whole or _is_shard(file, name, variant)


def of_other_variants(files: Iterable[str], name: str, variant: str | None) -> list[str]:
    """Return the files in a folder that hold weights of other variants, or are their indices.

    Args:
        files: Files in the folder.
        name: Name of the whole file, such as `model.safetensors`.
        variant: The variant whose files are left out; None for the weights as such.
    """
    there = set(files)
    others = {None, *_variants(there, [name])} - {variant}
    return sorted(file for file in there if any(holds(file, name, other) for other in others))


def check_variant(
    variant: str | None, folders: Iterable[Iterable[str]], names: Sequence[str], *, source: str
) -> None:
    """Refuse a variant that no part of a model has.

    Args:
        variant: None for no wish.
        folders: Files in the folder of each part.
        names: Names of whole files, as for `find_weights`.
        source: The model, for the message.

    Raises:
        CheckpointError: Naming those that there are.
    """
    there = {one for files in folders for one in _variants(set(files), names)}
    if variant is None or variant in there:
        return
    has = f"it has {', '.join(sorted(there))}" if there else "it has none; leave it out"
    raise CheckpointError(
        f"{source}: there is no variant {variant!r}; {has}{did_you_mean(variant, there)}"
    )


def read_weights(
    folder: Path, names: Sequence[str], *, variant: str | None = None
) -> tuple[Path, dict[str, Tensor]]:
    """Read the weights in a folder; return the file that they are in, or its index, too.

    Args:
        folder: Folder of one model.
        names: Names of whole files, as for `find_weights`.
        variant: As for `find_weights`.

    Raises:
        CheckpointError: When there are none, or a file is missing, damaged, or holds other
            tensors than the index says.
    """
    found = find_weights(files_in(folder), names, variant=variant)
    if found is None:
        raise CheckpointError(f"{folder}: found no weights; allowed: {' or '.join(names)}")
    path = folder / found.file
    if path.suffix != ".json":
        return path, read_tensors(path).tensors
    tensors: dict[str, Tensor] = {}
    for shard, expected in read_weight_index(path).items():
        part = read_tensors(folder / shard).tensors
        different = sorted(part.keys() ^ expected)
        if different:
            raise CheckpointError(
                f"{folder / shard}: does not hold the tensors that {found.file} says, "
                f"{different[0]} first; copy or download the folder again"
            )
        tensors |= part
    return path, tensors


def read_weight_index(path: Path) -> dict[str, set[str]]:
    """Return the tensors of each shard, by the name of its file.

    Raises:
        ConfigError: When the index is no JSON.
        CheckpointError: When it is no index, or names a file outside of its folder.
    """
    try:
        index = parse_json(path.read_bytes(), source=str(path))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise CheckpointError(
            f'{path}: not an index of weights; allowed: an object with "weight_map", the file of '
            "each tensor; copy or download it again"
        )
    shards: dict[str, set[str]] = {}
    for tensor, file in places.items():
        if not isinstance(file, str) or not is_name(file):
            raise CheckpointError(
                f"{path}: {tensor} is in {str(file)[:100]!r}; allowed: a file in the same folder"
            )
        shards.setdefault(file, set()).add(tensor)
    return shards


def write_weights(
    tensors: dict[str, Tensor],
    path: Path,
    *,
    like: Path,
    metadata: Mapping[str, str],
    variant: str | None = None,
    max_shard_size: int | None = None,
) -> None:
    """Write weights as one file, or as shards with their index where they are larger than that.

    Args:
        tensors: No two of them share memory.
        path: The whole file, without the variant in its name.
        like: File whose readers may read these.
        metadata: What each file says about itself.
        variant: What the name says; None for the weights as such.
        max_shard_size: Most bytes of the tensors in a file, but for a larger tensor, which has one
            of its own; None for one file in any case.
    """
    stem, suffix, middle = _parts(path.name, variant)
    whole = f"{stem}{middle}{suffix}"
    files, places, facts = {whole: list(tensors)}, dict.fromkeys(tensors, whole), {}
    if max_shard_size is not None:
        from huggingface_hub import split_torch_state_dict_into_shards

        split = split_torch_state_dict_into_shards(
            tensors,
            filename_pattern=f"{stem}{middle}{{suffix}}{suffix}",
            max_shard_size=max_shard_size,
        )
        files, places, facts = split.filename_to_tensors, split.tensor_to_filename, split.metadata
    for file, names in files.items():
        part = {name: tensors[name] for name in names}
        write_tensors(part, path.with_name(file), like=like, metadata=dict(metadata))
    if len(files) > 1:
        index = json.dumps({"metadata": facts, "weight_map": places}, indent=2)
        path.with_name(f"{path.name}.index{middle}.json").write_text(index + "\n")


def files_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder; none where there is no folder."""
    return [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _parts(name: str, variant: str | None) -> tuple[str, str, str]:
    """Return stem and suffix of a file's name, and what a variant has between them."""
    return Path(name).stem, Path(name).suffix, "" if variant is None else f".{variant}"


def _is_shard(file: str, name: str, variant: str | None) -> bool:
    """Say whether a file looks like a part of some weights."""
    stem, suffix, middle = map(re.escape, _parts(name, variant))
    number = r"-\d+-of-\d+"
    # Older versions wrote the variant behind the number.
    pattern = f"{stem}({middle}{number}|{number}{middle}){suffix}"
    return re.fullmatch(pattern, file) is not None


def _variants(there: set[str], names: Sequence[str]) -> list[str]:
    found = set()
    for name in names:
        stem, suffix = re.escape(Path(name).stem), re.escape(Path(name).suffix)
        pattern = rf"{stem}\.(\w+){suffix}|{re.escape(name)}\.index\.(\w+)\.json"
        found |= {m[1] or m[2] for file in there if (m := re.fullmatch(pattern, file))}
    return [name for name in VARIANTS if name in found] + sorted(found.difference(VARIANTS))
