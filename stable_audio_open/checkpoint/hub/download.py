"""Checkpoints on the Hugging Face hub: only the files that are needed."""

import re
from pathlib import Path
from typing import cast

from stable_audio_open.checkpoint import native
from stable_audio_open.checkpoint import stable_audio_tools as sat
from stable_audio_open.checkpoint.diffusers import layout as diffusers
from stable_audio_open.checkpoint.hub.needed import needed
from stable_audio_open.checkpoint.weights.tensors import CheckpointError

REMEDIES = {
    401: "it does not know the token: run `hf auth login` again, or unset HF_TOKEN",
    403: "the token may not read this; take one that may, or load a folder",
}
"""What to do about an answer, where trying again does not help."""
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_name(name: str) -> bool:
    """Say whether a string looks like `organisation/model`."""
    return _NAME.fullmatch(name) is not None and not name.startswith((".", "~"))


def client_error() -> type[Exception]:
    """Return the root of all errors of the hub's HTTP client, httpx or httpx2 by the version."""
    from huggingface_hub.errors import HfHubHTTPError

    return cast(type[Exception], HfHubHTTPError.__bases__[0])


def download(
    name: str, *, text_encoder: bool, variant: str | None = None, revision: str | None = None
) -> Path:
    """Bring the needed files of a repository here, and return the folder that they are in.

    Without a connection, what an earlier call brought is used.

    Args:
        name: `organisation/model`.
        text_encoder: Bring the text encoder and tokenizer too, where the repository has them.
        variant: Weights to bring, such as fp16; None for the weights as such where they are there.
        revision: Branch, tag or commit; None for the main branch.

    Raises:
        CheckpointError: When the repository does not exist, asks for a login, cannot be reached,
            or holds no checkpoint, no such variant or no such revision.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = HfApi().model_info(name, revision=revision)
        files = [file.rfilename for file in info.siblings or ()]
        chosen = needed(files, text_encoder=text_encoder, variant=variant, source=name)
        if not chosen:
            raise CheckpointError(f"{name}: the repository on the hub holds no known checkpoint")
        return Path(snapshot_download(name, revision=revision, allow_patterns=chosen))
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
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{name}: the repository on the hub has no revision {revision!r}; give a branch, a tag "
            "or a commit"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        remedy = REMEDIES.get(status, "try again later, or load a folder")
        raise CheckpointError(f"{name}: the hub answered {status}; {remedy}") from error
    except (client_error(), OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        cached = _cached(name, revision)
        if cached is None:
            raise CheckpointError(
                f"{name}: no local path, and the hub cannot be reached; check the connection, or "
                "load a folder"
            ) from error
        return cached


def _cached(name: str, revision: str | None) -> Path | None:
    """Return the folder of what an earlier call brought."""
    from huggingface_hub import try_to_load_from_cache

    for config in (sat.CONFIG, native.CONFIG, diffusers.INDEX, sat.AUTOENCODER_CONFIG):
        path = try_to_load_from_cache(name, config, revision=revision)
        if isinstance(path, str):
            return Path(path).parent
    return None
