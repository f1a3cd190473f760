"""Which files of a repository are fetched."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from stable_audio_open.checkpoint import native
from stable_audio_open.checkpoint import stable_audio_tools as sat
from stable_audio_open.checkpoint import text_encoder as text_encoder_files
from stable_audio_open.checkpoint.diffusers import layout as diffusers
from stable_audio_open.checkpoint.weights.sharded import check_variant, find_weights

TOKENIZER_SUFFIXES = (".json", ".model", ".txt")
ROOT = "."


def needed(
    files: Iterable[str],
    *,
    text_encoder: bool,
    variant: str | None = None,
    source: str = "the repository",
) -> list[str]:
    """Choose, among all files of a repository, those of one layout; empty if there is none.

    Args:
        files: Paths in the repository.
        text_encoder: Choose those of the text encoder and tokenizer too.
        variant: Weights to fetch, such as fp16; None for the weights as such where they are there.
        source: The repository, for messages.

    Raises:
        CheckpointError: There is no such variant.
    """
    there = set(files)
    own = _weights(ROOT, (native.WEIGHTS,), there, variant)
    if sat.CONFIG in there and there.intersection(sat.WEIGHTS):
        check_variant(variant, (), (), source=source)
        chosen = [sat.CONFIG, *_first(sat.WEIGHTS, there)]
    elif native.CONFIG in there and own:
        check_variant(variant, [_inside(ROOT, there)], (native.WEIGHTS,), source=source)
        chosen = [native.CONFIG, *own]
    elif diffusers.INDEX in there:
        parts = (_inside(part, there) for part in diffusers.PARTS)
        check_variant(variant, parts, diffusers.WEIGHTS, source=source)
        chosen = [diffusers.INDEX]
        for part in diffusers.PARTS:
            chosen.append(f"{part}/{native.CONFIG}")
            chosen += _weights(part, diffusers.WEIGHTS, there, variant)
    elif sat.AUTOENCODER_CONFIG in there and there.intersection(sat.AUTOENCODER_WEIGHTS):
        check_variant(variant, (), (), source=source)
        return [sat.AUTOENCODER_CONFIG, *_first(sat.AUTOENCODER_WEIGHTS, there)]
    else:
        return []
    if text_encoder:
        chosen += _weights("text_encoder", text_encoder_files.WEIGHTS, there, variant)
        chosen += [
            name
            for name in there
            if name.startswith(("text_encoder/", "tokenizer/"))
            and Path(name).suffix in TOKENIZER_SUFFIXES
            and ".index." not in name
        ]
    return sorted(there.intersection(chosen))


def _weights(folder: str, names: Sequence[str], there: set[str], variant: str | None) -> list[str]:
    """Return the files of weights in a folder: the whole, or an index and its shards."""
    found = find_weights(_inside(folder, there), names, variant=variant)
    if found is None:
        return []
    return [str(PurePosixPath(folder, name)) for name in (found.file, *found.shards)]


def _inside(folder: str, there: set[str]) -> list[str]:
    """Return the names of the files in a folder."""
    return [path.name for path in map(PurePosixPath, there) if str(path.parent) == folder]


def _first(names: Iterable[str], there: set[str]) -> list[str]:
    """Return the first name that is there, if any."""
    return [name for name in names if name in there][:1]
