"""Mutated recordings of every format that libsndfile writes."""

import io
import math
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import soundfile
import torch

from fuzzing.child import UNTOUCHED, Answer, Case, SilentLoadError
from fuzzing.damage import cut, damage
from fuzzing.sounds import SECONDS, tone, write_recordings
from stable_audio_open.audio.files import audio_blocks, audio_info, read_audio

NAME = "recording"
TELL_LENGTH = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "saved")
"""Containers whose cut end can be seen; an MP3 file's may be a frame's."""
USUAL = (*TELL_LENGTH, "MP3")
"""Containers that are mutated most."""
RATE_FIELDS = {"WAV": (24, "<I"), "WAVEX": (24, "<I"), "AU": (16, ">I"), "CAF": (20, ">d")}
"""Where the sample rate of a container is."""
RATES = (0, 1, 7, 999, 768_001, 2**31 - 1, 2**31, 2**32 - 1)
"""Hertz; none is a recording's."""
OPEN_LENGTHS = (0, 0x7F000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""What programs that write to a pipe leave for a length."""
FLOATS = ("WAV", "WAVEX", "AIFF", "AU", "CAF", "W64", "RF64")
NUMBERS = (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class Mutation(NamedTuple):
    """A recording after a mutation."""

    content: bytes
    words: str
    answer: Answer | None = None
    """The right one, where it is known."""


class Recordings:
    """A recording of each format.

    Args:
        folder: Where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self.originals = {
            name: path.read_bytes() for name, path in write_recordings(folder).items()
        }
        self.containers: dict[str, list[str]] = {}
        for name in self.originals:
            self.containers.setdefault(name.split()[0], []).append(name)

    def draw(self, random: Random, folder: Path) -> Case:
        """Write one that is mutated."""
        usual = [container for container in self.containers if container in USUAL]
        containers = usual if random.random() < 0.7 else list(self.containers)
        name = random.choice(self.containers[random.choice(containers)])
        content = self.originals[name]
        container, encoding = name.split()
        path = folder / f"{NAME}.{container.lower() if container != 'saved' else encoding}"
        if random.random() < UNTOUCHED:
            path.write_bytes(content)
            return Case(
                words=f"{name}: as it was written",
                target=partial(read_whole, name=path.name, exact=True),
                answer="read" if container == "saved" else None,
            )
        if random.random() < 0.01:
            os.mkfifo(path)
            found = Mutation(b"", "a named pipe in its place", "refused")
        else:
            found = self._mutate(name, random)
            path.write_bytes(found.content)
        return Case(
            words=f"{name}: {found.words}",
            target=partial(read_whole, name=path.name, exact=found.answer == "read"),
            answer=found.answer,
        )

    def _mutate(self, name: str, random: Random) -> Mutation:
        content = self.originals[name]
        container = name.split()[0]
        is_mp3 = name == "saved mp3" or container == "MP3"
        mutations: list[Callable[[], Mutation]] = [
            *[lambda: _damaged(content, random)] * 6,
            lambda: _tagged(content, random),
            lambda: _joined(content, is_mp3=is_mp3),
        ]
        # Of ADPCM and the like, the header tells of blocks.
        tells = container in TELL_LENGTH and not is_mp3
        mutations += [lambda: _cut(content, random, refused=tells)] * 2
        if container in RATE_FIELDS:
            mutations.append(lambda: _rated(content, container, random))
        if content[:4] == b"RIFF":
            mutations.append(lambda: _lengthened(content, random))
        if container in FLOATS:
            mutations.append(lambda: _not_finite(container, random))
        if is_mp3 and (b"Info" in content[:300] or b"Xing" in content[:300]):
            mutations += 4 * [lambda: _counted(content, random)]
        return random.choice(mutations)()


def _damaged(content: bytes, random: Random) -> Mutation:
    found = damage(content, random)
    return Mutation(found.content, found.words)


def _cut(content: bytes, random: Random, *, refused: bool) -> Mutation:
    # Short of the chunks behind the samples, and beyond the header.
    found = cut(content, random, least=0.4, most=0.9)
    return Mutation(found.content, found.words, "refused" if refused else None)


def _rated(content: bytes, container: str, random: Random) -> Mutation:
    place, form = RATE_FIELDS[container]
    rate = random.choice(RATES)
    field = struct.pack(form, rate)
    mutated = content[:place] + field + content[place + len(field) :]
    return Mutation(mutated, f"{rate} Hz", "refused")


def _lengthened(content: bytes, random: Random) -> Mutation:
    place = content.index(b"data") + 4
    length = random.choice((*OPEN_LENGTHS, len(content), 2 * len(content), 1 << 30))
    mutated = content[:place] + struct.pack("<I", length) + content[place + 4 :]
    answer: Answer | None = None if length in OPEN_LENGTHS else "refused"
    return Mutation(mutated, f"its data chunk says {length} bytes", answer)


def _not_finite(container: str, random: Random) -> Mutation:
    samples = tone(SECONDS, rate=44100, channels=2)
    value = random.choice((math.nan, math.inf, -math.inf))
    samples[random.randrange(len(samples)), random.randrange(2)] = value
    file = io.BytesIO()
    soundfile.write(file, samples.astype(np.float32), 44100, "FLOAT", format=container)
    return Mutation(file.getvalue(), f"FLOAT instead, with {value} in it", "refused")


def _counted(content: bytes, random: Random) -> Mutation:
    place = max(content.find(b"Info"), content.find(b"Xing"))
    frames = random.choice(NUMBERS)
    mutated = content[: place + 8] + struct.pack(">I", frames) + content[place + 12 :]
    return Mutation(mutated, f"its header counts {frames} frames", "read")


def _joined(content: bytes, *, is_mp3: bool) -> Mutation:
    # Frames of MP3 follow each other, whoever wrote them.
    return Mutation(content + content, "joined with itself", "read" if is_mp3 else None)


def _tagged(content: bytes, random: Random) -> Mutation:
    size = random.choice((0, 10, 100, 1 << 20, (1 << 28) - 1))
    spread = bytes((size >> 7 * shift) & 0x7F for shift in (3, 2, 1, 0))
    body = random.randbytes(100)
    tag = b"ID3" + random.choice((b"\2", b"\3", b"\4", b"\xff")) + b"\0\0" + spread + body
    return Mutation(tag + content, f"behind an ID3 tag of 100 bytes that says {size}")


def read_whole(folder: Path, *, name: str, exact: bool) -> None:
    """Read a recording in the ways of the product, and compare them.

    Args:
        folder: Folder of the case.
        name: The recording in it.
        exact: Parts are compared sample by sample, as those of undamaged files are.
    """
    path = folder / name
    info = audio_info(path)
    whole = read_audio(path)
    if whole.sample_rate != info.sample_rate or not 1000 <= info.sample_rate <= 768_000:
        raise SilentLoadError(f"is read at {whole.sample_rate} Hz, and said {info.sample_rate}")
    if whole.samples.shape != (1, info.channels, info.frames):
        raise SilentLoadError(f"is read as {list(whole.samples.shape)}, and said {info}")
    if not torch.isfinite(whole.samples).all():
        raise SilentLoadError("holds NaN or infinity")
    third = info.frames // 3
    if third:
        part = read_audio(
            path, start=third / info.sample_rate, duration=third / info.sample_rate
        ).samples
        if part.shape != (1, info.channels, third):
            raise SilentLoadError(f"a third of it is read as {list(part.shape)}")
        if exact and path.suffix != ".ogg":
            _compare(part, whole.samples[..., third : 2 * third], "a part")
    blocks = torch.cat([block.samples for block in audio_blocks(path, frames=5000)], dim=-1)
    _compare(blocks, whole.samples, "blocks")
    if info.channels <= 2:
        other = read_audio(path, sample_rate=22050, channels=2).samples
        if other.shape[:2] != (1, 2) or not torch.isfinite(other).all():
            raise SilentLoadError(f"is resampled to {list(other.shape)}, or not to numbers")


def _compare(one: torch.Tensor, other: torch.Tensor, what: str) -> None:
    if one.shape != other.shape or not torch.allclose(one, other, atol=1e-6):
        raise SilentLoadError(f"{what} and the whole differ")
