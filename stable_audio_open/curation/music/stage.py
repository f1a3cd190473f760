"""Decisions of the music gate, recording by recording."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.curation.catalogue.decisions import Decision, now
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.music.gate import ROUNDING, MusicGate, active_seconds
from stable_audio_open.curation.music.tagging import BLOCK_SECONDS, Heard, listen
from stable_audio_open.engine.engine import Engine, Serial, Stage

STAGE = "music"
TOP_CLASSES = 3
"""How many a reason names."""


def signature(tagger: Tagger, gate: MusicGate) -> str:
    """Return what a decision says of its maker; another tagger or setting is another maker."""
    classes = ", ".join(gate.classes or tagger.music_classes)
    return (
        f"music gate, {tagger.name}, threshold {gate.threshold:g}, {gate.seconds:g} s "
        f"{gate.counting}, classes: {classes}"
    )


def decide_music(
    record: CatalogueRecord,
    audio: Path,
    *,
    tagger: Tagger,
    gate: MusicGate,
    block_seconds: float = BLOCK_SECONDS,
) -> Decision:
    """Return `review` for a recording with enough music in it, `keep` for any other.

    Args:
        record: Its `file` is read.
        audio: Folder of the recordings.
        tagger: What hears.
        gate: When it is music.
        block_seconds: About how much audio is worked on at once.

    Raises:
        ValueError: The record has no file, or the tagger not one of the classes.
        AudioFileError: The file cannot be used as audio.
    """
    if record.file is None:
        raise ValueError(f"{record.id}: has no file")
    heard = listen(audio / record.file, tagger, gate.classes, block_seconds=block_seconds)
    seconds = music_of(heard, tagger, gate)
    means, columns = heard.means.topk(min(TOP_CLASSES, len(heard.means)))
    top = [
        f"{tagger.classes[column]} {mean:.2f}"
        for mean, column in zip(means.tolist(), columns.tolist(), strict=True)
    ]
    return Decision(
        id=record.id,
        verdict="review" if seconds >= gate.seconds - ROUNDING else "keep",
        stage=STAGE,
        reason=f"{seconds:.1f} of {heard.duration:.1f} s with music; on average {', '.join(top)}",
        by=signature(tagger, gate),
        at=now(),
    )


def decide_all(
    records: Sequence[CatalogueRecord],
    audio: Path,
    *,
    load: Callable[[], Tagger],
    gate: MusicGate,
    engine: Engine | None = None,
) -> Iterator[Decision | str]:
    """Yield a decision on each record, or in words why its file cannot be used.

    Args:
        records: Each with its file.
        audio: Folder of the recordings.
        load: How each worker gets the tagger.
        gate: When it is music.
        engine: What reads and listens; this process when None.

    Raises:
        ValueError: As `decide_music`.
    """
    stage = Stage("music", partial(_decider, audio, load, gate), model=True)
    yield from (engine or Serial()).map(stage, records)


def _decider(
    audio: Path, load: Callable[[], Tagger], gate: MusicGate
) -> Callable[[CatalogueRecord], Decision | str]:
    """Return what decides on a record."""
    tagger = load()

    def decision(record: CatalogueRecord) -> Decision | str:
        try:
            return decide_music(record, audio, tagger=tagger, gate=gate)
        except AudioFileError as error:
            return str(error)

    return decision


def music_of(heard: Heard, tagger: Tagger, gate: MusicGate) -> float:
    """Return the seconds of music, which are not more than there is audio."""
    seconds = active_seconds(
        heard.music,
        seconds_per_frame=tagger.seconds_per_frame,
        threshold=gate.threshold,
        counting=gate.counting,
    )
    return min(seconds, heard.duration)
