"""The recordings that captions describe, found by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stable_audio_open.audio.files import AudioFileError, audio_info
from stable_audio_open.audio.paths import audio_files
from stable_audio_open.evaluation.protocols.protocol import CaptionPrompt
from stable_audio_open.files.unicode_names import composed

SHOWN = 10
"""Number of names in an error."""


def find_references(folder: Path, prompts: Sequence[CaptionPrompt]) -> dict[str, Path]:
    """Return the file of each clip that has one, in the order of the prompts.

    A file may lie at any depth, in linked folders too; its name up to the first dot counts, and its
    suffix must be that of audio.

    Raises:
        ValueError: The folder does not exist, or two files have the name of one clip.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give that of the reference recordings")
    files: dict[str, list[Path]] = {}
    for path in audio_files(folder):
        if not path.name.startswith("."):
            files.setdefault(composed(path.name.partition(".")[0]), []).append(path)
    found: dict[str, Path] = {}
    for prompt in prompts:
        for name in map(composed, () if prompt.clip in found else prompt.references):
            if len(files.get(name, ())) > 1:
                first, second = files[name][:2]
                raise ValueError(
                    f"{folder}: two references {name!r}: {first.relative_to(folder)} and "
                    f"{second.relative_to(folder)}; remove one"
                )
            if name in files:
                found[prompt.clip] = files[name][0]
                break
    return found


def missing_references(prompts: Sequence[CaptionPrompt], found: Mapping[str, Path]) -> list[str]:
    """Return the clips without a file, in the order of the prompts."""
    return [clip for clip in dict.fromkeys(prompt.clip for prompt in prompts) if clip not in found]


def refuse_missing(
    folder: Path,
    prompts: Sequence[CaptionPrompt],
    found: Mapping[str, Path],
    *,
    allowed: bool = False,
) -> None:
    """Refuse prompts whose clip has no file.

    Args:
        folder: Folder of the references.
        prompts: At least one.
        found: File of each clip that has one.
        allowed: Some may be missing, but not all.

    Raises:
        ValueError: naming the clips, the first ten of many.
    """
    missing = missing_references(prompts, found)
    if allowed and not found:
        raise ValueError(
            f"{folder}: holds none of {len(missing):,} references; name recordings by their clips, "
            f"such as {missing[0]}.wav"
        )
    if missing and not allowed:
        names = ", ".join(missing[:SHOWN])
        more = f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
        total = len({prompt.clip for prompt in prompts})
        raise ValueError(
            f"{folder}: {len(missing):,} of {total:,} references are missing: {names}{more}; add "
            "them, or leave them out with --allow-missing"
        )


def check_references(found: Mapping[str, Path]) -> None:
    """Check by their headers, before any work, that recordings can be read.

    Raises:
        AudioFileError: One is damaged, or has more than two channels.
    """
    for path in found.values():
        channels = audio_info(path).channels
        if channels > 2:
            raise AudioFileError(f"{path}: has {channels} channels; mix it down to stereo first")
