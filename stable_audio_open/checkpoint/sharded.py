"""Weights as diffusers and transformers write them: whole, in shards with an index, or a variant.

`NAME.safetensors`; `NAME.safetensors.index.json` with `NAME-00001-of-00002.safetensors`; and
`NAME.fp16.safetensors` or `NAME.safetensors.index.fp16.json` of the variant fp16.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from stable_audio_open.checkpoint.tensors import CheckpointError, read_tensors
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


def find_weights(files: Iterable[str], names: Sequence[str]) -> Weights | None:
    """Return the files to read, of all files of a folder; None where it has none.

    Args:
        files: Files in the folder.
        names: Names of whole files, such as `model.safetensors`, in the order of preference.
    """
    there = set(files)
    for variant in (None, *_variants(there, names)):
        middle = "" if variant is None else f".{variant}"
        for name in names:
            stem, suffix = Path(name).stem, Path(name).suffix
            if f"{stem}{middle}{suffix}" in there:
                return Weights(f"{stem}{middle}{suffix}", (), variant)
            index = f"{name}.index{middle}.json"
            if index in there:
                # Older versions wrote the variant behind the number.
                number = r"-\d+-of-\d+"
                pattern = re.escape(stem) + (
                    f"({re.escape(middle)}{number}|{number}{re.escape(middle)})" + re.escape(suffix)
                )
                shards = sorted(file for file in there if re.fullmatch(pattern, file))
                return Weights(index, tuple(shards), variant)
    return None


def read_weights(folder: Path, names: Sequence[str]) -> tuple[Path, dict[str, Tensor]]:
    """Read the weights in a folder; return the file that they are in, or its index, too.

    Args:
        folder: Folder of one model.
        names: Names of whole files, as for `find_weights`.

    Raises:
        CheckpointError: When there are none, or a file is missing, damaged, or holds other
            tensors than the index says.
    """
    found = find_weights(_files(folder), names)
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


def _variants(there: set[str], names: Sequence[str]) -> list[str]:
    found = set()
    for name in names:
        stem, suffix = re.escape(Path(name).stem), re.escape(Path(name).suffix)
        pattern = rf"{stem}\.(\w+){suffix}|{re.escape(name)}\.index\.(\w+)\.json"
        found |= {m[1] or m[2] for file in there if (m := re.fullmatch(pattern, file))}
    return [name for name in VARIANTS if name in found] + sorted(found.difference(VARIANTS))


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
