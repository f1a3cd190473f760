"""Tags of a recording of any length, in bounded memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.files import audio_info, read_audio
from stable_audio_open.audio.resample import resampled_length
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.curation.music.gate import class_columns

BLOCK_SECONDS = 60.0


class TaggedRecording(NamedTuple):
    """What remains of a recording: four bytes a frame, whatever the number of classes."""

    music: Float[Tensor, "frames"]
    """The highest probability among the classes of music."""
    means: Float[Tensor, "classes"]
    """Mean probability of every class."""
    duration: float
    """Seconds of audio."""


def tag_blocks(
    path: Path, tagger: Tagger, *, block_seconds: float = BLOCK_SECONDS
) -> Iterator[Float[Tensor, "frames classes"]]:
    """Yield the frames of a recording in order, as the tagger gives them for the whole.

    Args:
        path: The audio file; stereo is averaged.
        tagger: Its `stride` and `context` say how excerpts have to lie.
        block_seconds: About how much audio is worked on at once, besides the context.

    Raises:
        AudioFileError: It cannot be used as audio.
    """
    info, rate = audio_info(path), tagger.sample_rate
    total = resampled_length(info.frames, info.sample_rate, rate)
    samples_per_frame = round(tagger.seconds_per_frame * rate)
    block = max(1, round(block_seconds * rate / tagger.stride)) * tagger.stride
    for start in range(0, total, block):
        first, last = max(0, start - tagger.context), start + block + tagger.context
        # What a last excerpt would be too short for belongs to the one before.
        is_last = start + block >= total
        duration = None if is_last else (last - first) / rate
        audio = read_audio(
            path, sample_rate=rate, channels=1, start=first / rate, duration=duration
        )
        frames = tagger(audio.samples[0, 0])
        skipped = (start - first) // samples_per_frame
        yield frames[skipped:] if is_last else frames[skipped:][: block // samples_per_frame]


def tag_recording(
    path: Path,
    tagger: Tagger,
    music_classes: Sequence[str] = (),
    *,
    block_seconds: float = BLOCK_SECONDS,
) -> TaggedRecording:
    """Return the probability of music over time, and what else was tagged.

    Args:
        path: The audio file.
        tagger: The tagger.
        music_classes: Classes of music; the tagger's own when there are none.
        block_seconds: About how much audio is worked on at once.

    Raises:
        AudioFileError: It cannot be used as audio.
        ValueError: The tagger has no such class.
    """
    columns = class_columns(music_classes or tagger.music_classes, tagger.classes)
    music, sums, count = [], torch.zeros(len(tagger.classes), dtype=torch.float64), 0
    for frames in tag_blocks(path, tagger, block_seconds=block_seconds):
        music.append(frames[:, columns].amax(dim=1))
        sums += frames.sum(dim=0, dtype=torch.float64)
        count += len(frames)
    return TaggedRecording(torch.cat(music), (sums / count).float(), audio_info(path).duration)
