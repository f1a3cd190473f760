"""Checkpoints on the Hugging Face hub: only the files that are needed."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import cast

from stable_audio_open.checkpoint import native
from stable_audio_open.checkpoint import stable_audio_tools as sat
from stable_audio_open.checkpoint import text_encoder as text_encoder_files
from stable_audio_open.checkpoint.diffusers import layout as diffusers
from stable_audio_open.checkpoint.sharded import find_weights
from stable_audio_open.checkpoint.tensors import CheckpointError

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
TOKENIZER_SUFFIXES = (".json", ".model", ".txt")


def is_hub_name(name: str) -> bool:
    """Say whether a string looks like `organisation/model`."""
    return _NAME.fullmatch(name) is not None and not name.startswith((".", "~"))


def download(name: str, *, text_encoder: bool) -> Path:
    """Bring the needed files of a repository here, and return the folder that they are in.

    Without a connection, what an earlier call brought is used.

    Args:
        name: `organisation/model`.
        text_encoder: Bring the text encoder and tokenizer too, where the repository has them.

    Raises:
        CheckpointError: When the repository does not exist, asks for a login, cannot be reached,
            or holds no checkpoint.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    # The root of all errors of its HTTP client, which is httpx or httpx2 by the version.
    client_error = cast(type[Exception], HfHubHTTPError.__bases__[0])

    try:
        files = [file.rfilename for file in HfApi().model_info(name).siblings or ()]
        chosen = needed(files, text_encoder=text_encoder)
        if not chosen:
            raise CheckpointError(f"{name}: the repository on the hub holds no known checkpoint")
        return Path(snapshot_download(name, allow_patterns=chosen))
    except GatedRepoError as error:
        raise CheckpointError(
            f"{name}: its authors ask to accept their conditions; do so at "
            f"https://huggingface.co/{name}, then run `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{name}: neither a local path nor a repository on the hub (a private one needs "
            "`hf auth login`)"
        ) from error
    except HfHubHTTPError as error:
        raise CheckpointError(
            f"{name}: the hub answered {error.response.status_code}; try again later, or load a "
            "folder"
        ) from error
    except (client_error, OfflineModeIsEnabled) as error:
        cached = _cached(name)
        if cached is None:
            raise CheckpointError(
                f"{name}: no local path, and the hub cannot be reached; check the connection, or "
                "load a folder"
            ) from error
        return cached


def needed(files: Iterable[str], *, text_encoder: bool) -> list[str]:
    """Choose, among all files of a repository, those of one layout; empty if there is none."""
    there = set(files)
    if sat.CONFIG in there and there.intersection(sat.WEIGHTS):
        chosen = [sat.CONFIG, *_first(sat.WEIGHTS, there)]
    elif {native.CONFIG, native.WEIGHTS} <= there:
        chosen = [native.CONFIG, native.WEIGHTS]
    elif diffusers.INDEX in there:
        chosen = [diffusers.INDEX]
        for part in diffusers.PARTS:
            chosen.append(f"{part}/{native.CONFIG}")
            chosen += _weights(part, diffusers.WEIGHTS, there)
    elif sat.AUTOENCODER_CONFIG in there and there.intersection(sat.AUTOENCODER_WEIGHTS):
        return [sat.AUTOENCODER_CONFIG, *_first(sat.AUTOENCODER_WEIGHTS, there)]
    else:
        return []
    if text_encoder:
        chosen += _weights("text_encoder", text_encoder_files.WEIGHTS, there)
        chosen += [
            name
            for name in there
            if name.startswith(("text_encoder/", "tokenizer/"))
            and Path(name).suffix in TOKENIZER_SUFFIXES
            and ".index." not in name
        ]
    return sorted(there.intersection(chosen))


def _weights(folder: str, names: Sequence[str], there: set[str]) -> list[str]:
    """Return the files of weights in a folder: the whole, or an index and its shards."""
    inside = [PurePosixPath(file) for file in there]
    found = find_weights((file.name for file in inside if str(file.parent) == folder), names)
    return [] if found is None else [f"{folder}/{name}" for name in (found.file, *found.shards)]


def _first(names: Iterable[str], there: set[str]) -> list[str]:
    """Return the first name that is there, if any."""
    return [name for name in names if name in there][:1]


def _cached(name: str) -> Path | None:
    """Return the folder of what an earlier call brought."""
    from huggingface_hub import try_to_load_from_cache

    for config in (sat.CONFIG, native.CONFIG, diffusers.INDEX, sat.AUTOENCODER_CONFIG):
        path = try_to_load_from_cache(name, config)
        if isinstance(path, str):
            return Path(path).parent
    return None
