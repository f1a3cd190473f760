"""How weights are to be stored, as it is asked for: their type, variant and the size of files."""

import re
from numbers import Integral

import torch

from stable_audio_open.arguments.checks import check_name, shown, wrong_type
from stable_audio_open.checkpoint.weights.precision import DTYPES, find_dtype

VARIANT_TYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""Types that names of variants promise."""
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def variant_name(variant: str | None) -> str | None:
    """Return a variant by which files may be named.

    Raises:
        TypeError: It is no string.
        ValueError: No file of a variant is named so.
    """
    if variant is not None and not re.fullmatch(r"\w+", check_name(variant, "variant"), re.ASCII):
        raise ValueError(
            f"variant must be letters, digits and underscores, such as 'fp16', got {shown(variant)}"
        )
    return variant


def stored_dtype(dtype: str | torch.dtype | None, variant: str | None) -> torch.dtype | None:
    """Return the type that weights of a variant are stored in, None for their own.

    Raises:
        TypeError: The type is neither a name nor a torch.dtype.
        ValueError: It is unknown, or not the one that the variant promises.
    """
    promised = VARIANT_TYPES.get(variant or "")
    if dtype is None:
        return None if promised is None else DTYPES[promised]
    chosen = find_dtype(dtype)
    if promised is not None and chosen != DTYPES[promised]:
        raise ValueError(
            f"variant {variant!r} is of {promised}, got dtype {str(dtype)!r}; leave one of them out"
        )
    return chosen


def shard_bytes(size: int | str | None) -> int | None:
    """Return the most bytes in a file, None for no limit.

    Args:
        size: Bytes, or a size such as `5GB`; units are powers of 1000.

    Raises:
        TypeError: It is neither an integer nor a string.
        ValueError: It is no size, or below 1.
    """
    if size is None:
        return None
    if isinstance(size, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]?b)?", size.strip().lower(), re.ASCII)
        if found is not None:
            unit = (found[2] or "b").upper()
            size = int(float(found[1]) * UNITS.get(unit, 1))
    elif not isinstance(size, Integral) or isinstance(size, bool):
        raise wrong_type(size, "max_shard_size", "bytes, or a size such as '5GB'")
    if isinstance(size, str) or size < 1:
        raise ValueError(
            f"max_shard_size must be 1 byte or more, or a size such as '500MB' or '5GB', got "
            f"{shown(size)}"
        )
    return int(size)
