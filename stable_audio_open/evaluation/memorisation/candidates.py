"""Sounds beside the training recordings that they are nearest to (section 5.3)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.files import read_audio
from stable_audio_open.evaluation.generations.folder import is_whole
from stable_audio_open.evaluation.generations.prompted import PromptedSound
from stable_audio_open.evaluation.memorisation.chunks import Neighbours, nearest_chunks, similarity
from stable_audio_open.evaluation.memorisation.result import (
    Candidate,
    NearestSection,
    StudySettings,
)
from stable_audio_open.evaluation.memorisation.sets import EmbeddedSet, RecordingSet

EXCERPTS = "recordings"


class Sounds(NamedTuple):
    """Sounds of one origin."""

    title: str
    embedded: EmbeddedSet
    files: Collection[str]
    """Which sounds of the set; those that it leaves out are not compared."""
    prompts: Mapping[str, str]
    """By file."""
    origins: Mapping[str, PromptedSound] | None
    """By file; None where they were given."""


@dataclass(frozen=True, kw_only=True)
class RecordingComparison:
    """Compares sounds with a training set and writes what is to be listened to."""

    training: RecordingSet
    library: EmbeddedSet
    settings: StudySettings
    baseline: float
    """Similarity above which sounds are counted."""
    output: Path

    def section(self, sounds: Sounds) -> tuple[NearestSection, Float[Tensor, "sounds"]]:
        """Return the section of some sounds, and how near each is that is not silent."""
        near = nearest_chunks(sounds.embedded.vectors, self.library.vectors)
        files = sounds.embedded.files
        places = [place for place, file in enumerate(files) if file in sounds.files]
        ranked = sorted(places, key=lambda place: (-float(near.similarity[place]), files[place]))
        similarities = near.similarity[places]
        origins = None
        if sounds.origins is not None:
            origins = [sounds.origins[files[place]] for place in places]
        own = [
            self.library.hashes[self._recording(near, place)] == self.library.hashes[o.recording]
            for place, o in zip(places, origins or (), strict=origins is not None)
        ]
        return NearestSection(
            title=sounds.title,
            sounds=len(places),
            silent=tuple(file for file in sounds.embedded.silent if file in sounds.files),
            prompted_recordings=(
                None if origins is None else len({origin.recording for origin in origins})
            ),
            nearest_is_prompted=None if origins is None else sum(own),
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
        sound = embedded.files[place]
        start = float(self.library.vectors.starts[near.other[place]])
        origin, own = None if sounds.origins is None else sounds.origins[sound], None
        if origin is not None:
            prompted = self.library.files.index(origin.recording)
            own = similarity(embedded.vectors, place, self.library.vectors, prompted)
        path = embedded.folder / sound
        if path.is_relative_to(self.output):
            shown = path.relative_to(self.output).as_posix()
        else:
            first = float(embedded.vectors.starts[near.own[place]])
            shown = self._excerpt(embedded, sound, first)
        return Candidate(
            rank=rank,
            similarity=round(float(near.similarity[place]), 6),
            sound=shown,
            prompt=sounds.prompts[sound],
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
        chunk = self.settings.chunk
        micros = "_".join(f"{round(seconds * 1e6)}" for seconds in (start, chunk))
        name = f"{EXCERPTS}/{embedded.hashes[file][:16]}_{micros}.flac"
        path = self.output / name
        if not is_whole(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            read_audio(embedded.folder / file, start=start, duration=chunk).save(path)
        return name
