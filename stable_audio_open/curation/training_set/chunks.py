"""Chunks of recordings to train an autoencoder on (section 3.1)."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from stable_audio_open.files.atomic import written_beside

TICK = 1_000_000
"""Positions are whole microseconds, so that neighbours cannot overlap by rounding."""


class ChunkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How chunks are drawn.

    Raises:
        ValueError: When a number is not positive.
    """

    seconds: float = 5.0
    """Length of a chunk."""
    most: int = 3
    """Chunks of a recording in one pass."""
    high_fidelity_passes: int = 2
    """Passes over a recording that was measured to be of high fidelity."""
    whole_catalogues: tuple[str, ...] = ("fma",)
    """Catalogues that belong to the high-fidelity subset as a whole. They are passed over once: the
    paper samples the high-fidelity recordings of Freesound twice, not those of FMA."""

    def __post_init__(self) -> None:
        for name in ("seconds", "most", "high_fidelity_passes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


class DrawnChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list."""

    file: str
    """Relative to the folder of the recordings."""
    start: float
    """Seconds."""
    duration: float
    """Seconds; less than asked where the recording is shorter."""
    high_fidelity: bool
    """Whether the recording belongs to the high-fidelity subset."""


class ChunkSpan(NamedTuple):
    """Seconds of a recording."""

    start: float
    duration: float


def draw_chunks(
    duration: float, rng: random.Random, *, seconds: float = 5.0, most: int = 3, passes: int = 1
) -> list[ChunkSpan]:
    """Return random chunks of a recording, by pass and position.

    A pass takes up to `most` chunks that do not overlap, any placement as likely as another: as
    many as there is room for. Chunks of different passes do not overlap either while the recording
    has room for all; where it has not, each pass is drawn by itself and may overlap another. A
    recording shorter than a chunk is taken whole, once in each pass.

    Args:
        duration: Seconds of the recording.
        rng: The only source of chance.
        seconds: Length of a chunk.
        most: Chunks in a pass.
        passes: Number of passes over the recording.

    Raises:
        ValueError: When the recording has no length.
    """
    whole, length = int(duration * TICK), round(seconds * TICK)
    if whole <= 0:
        raise ValueError(f"a recording of {duration} s has no chunks; leave it out")
    room = whole // length
    if not room:
        return [ChunkSpan(0.0, whole / TICK)] * passes
    each = min(most, room)
    together = room >= each * passes
    spans = []
    for count in [each * passes] if together else [each] * passes:
        free = whole - count * length
        offsets = sorted(rng.randint(0, free) for _ in range(count))
        spans += [
            ChunkSpan((offset + place * length) / TICK, length / TICK)
            for place, offset in enumerate(offsets)
        ]
    return spans


def recording_chunks(
    file: str,
    duration: float,
    *,
    name: str,
    high_fidelity: bool,
    seed: int = 0,
    settings: ChunkSettings | None = None,
) -> list[DrawnChunk]:
    """Return the chunks of one recording, which depend on nothing but seed, name and length.

    Args:
        file: Relative to the folder of the recordings.
        duration: Seconds.
        name: Identifier of the record.
        high_fidelity: What was measured; whole catalogues count as such in any case.
        seed: Seed of the set.
        settings: Those of the paper by default.

    Raises:
        ValueError: As `draw_chunks` does.
    """
    settings = settings or ChunkSettings()
    whole = name.partition(":")[0] in settings.whole_catalogues
    spans = draw_chunks(
        duration,
        random.Random(f"{seed} {name}"),
        seconds=settings.seconds,
        most=settings.most,
        passes=settings.high_fidelity_passes if high_fidelity and not whole else 1,
    )
    return [
        DrawnChunk(
            file=file,
            start=span.start,
            duration=span.duration,
            high_fidelity=high_fidelity or whole,
        )
        for span in spans
    ]


def write_chunks(path: Path, chunks: Iterable[DrawnChunk]) -> int:
    """Write chunks as JSON lines, replacing `path` in one step; return how many."""
    count = 0
    with written_beside(path) as temporary, temporary.open("xb") as file:
        for count, chunk in enumerate(chunks, start=1):  # noqa: B007
            file.write(msgspec.json.encode(chunk) + b"\n")
    return count
