"""Sounds beside the training recordings that they are nearest to (section 5.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.evaluation.chunk_vectors import Neighbours, nearest, similarity
from stable_audio_open.evaluation.generations import Wanted
from stable_audio_open.evaluation.memorisation_result import Candidate, Section, StudySettings
from stable_audio_open.evaluation.recording_sets import EmbeddedSet, RecordingSet

EXCERPTS = "recordings"


class Sounds(NamedTuple):
    """Sounds of one origin."""

    title: str
    embedded: EmbeddedSet
    places: Sequence[int]
    """Which sounds of the set."""
    prompts: Sequence[str]
    """Of all sounds of the set."""
    origins: Sequence[Wanted] | None
    """Of all sounds of the set; None where they were given."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares sounds with a training set and writes what is to be listened to."""

    training: RecordingSet
    library: EmbeddedSet
    settings: StudySettings
    baseline: float
    """Similarity above which sounds are counted."""
    output: Path

    def section(self, sounds: Sounds) -> tuple[Section, Float[Tensor, "sounds"]]:
        """Return the section of some sounds, and how near each of them is."""
        near = nearest(sounds.embedded.vectors, self.library.vectors)
        files, places = sounds.embedded.files, list(sounds.places)
        ranked = sorted(places, key=lambda place: (-float(near.similarity[place]), files[place]))
        similarities = near.similarity[places]
        origins = [sounds.origins[place] for place in places] if sounds.origins else None
        own = [
            self.library.hashes[self._recording(near, place)] == self.library.hashes[o.recording]
            for place, o in zip(places, origins or (), strict=bool(origins))
        ]
        return Section(
            title=sounds.title,
            sounds=len(places),
            prompted_recordings=len({o.recording for o in origins}) if origins else None,
            nearest_is_prompted=sum(own) if origins else None,
            above_baseline=int((similarities > self.baseline).sum()),
            candidates=tuple(
                self._candidate(rank, place, sounds, near)
                for rank, place in enumerate(ranked[: self.settings.top], start=1)
            ),
        ), similarities

    def _recording(self, near: Neighbours, place: int) -> str:
        return self.library.files[int(self.library.vectors.owners[near.other[place]])]

    def _candidate(self, rank: int, place: int, sounds: Sounds, near: Neighbours) -> Candidate:
        embedded, file = sounds.embedded, self._recording(near, place)
        start = float(self.library.vectors.starts[near.other[place]])
        origin, own = sounds.origins[place] if sounds.origins else None, None
        if origin is not None:
            prompted = self.library.files.index(origin.recording)
            own = similarity(embedded.vectors, place, self.library.vectors, prompted)
        path = embedded.folder / embedded.files[place]
        if path.is_relative_to(self.output):
            shown = path.relative_to(self.output).as_posix()
        else:
            first = float(embedded.vectors.starts[near.own[place]])
            shown = self._excerpt(embedded, embedded.files[place], first)
        return Candidate(
            rank=rank,
            similarity=round(float(near.similarity[place]), 6),
            sound=shown,
            prompt=sounds.prompts[place],
            seed=origin.seed if origin else None,
            prompted_recording=origin.recording if origin else None,
            prompted_similarity=None if own is None else round(own, 6),
            recording=file,
            caption=self.training.captions[file],
            start=round(start, 6),
            excerpt=self._excerpt(self.library, file, start),
        )

    def _excerpt(self, embedded: EmbeddedSet, file: str, start: float) -> str:
        """Write the chunk of a recording that was compared; return its path in the folder."""
        name = f"{EXCERPTS}/{embedded.hashes[file][:16]}_{round(start * 1000)}.flac"
        path = self.output / name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            chunk = self.settings.chunk
            read_audio(embedded.folder / file, start=start, duration=chunk).save(path)
        return name
