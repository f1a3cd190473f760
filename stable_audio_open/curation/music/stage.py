"""The music gate: a decision on each recording of a catalogue."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    final_decisions,
    now,
    read_decisions,
)
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.music.gate import ROUNDING, active_seconds, class_columns
from stable_audio_open.curation.music.tagging import BLOCK_SECONDS, TaggedRecording, tag_recording
from stable_audio_open.engine.engine import Engine, Serial, Stage
from stable_audio_open.settings import MusicGate

STAGE = "music"
TOP_CLASSES = 3
"""How many a reason names."""

logger = logging.getLogger(__name__)


def signature(tagger: Tagger, gate: MusicGate) -> str:
    """Return what a decision says of its maker; another tagger or setting is another maker."""
    classes = ", ".join(gate.classes or tagger.music_classes)
    return (
        f"music gate, {tagger.name}, threshold {gate.threshold:g}, {gate.seconds:g} s "
        f"{gate.counting}, classes: {classes}"
    )


def gate_catalogue(
    catalogue: Path,
    audio: Path,
    *,
    tagger: Tagger,
    gate: MusicGate,
    engine: Engine | None = None,
    load: Callable[[], Tagger] | None = None,
) -> Counter[str]:
    """Decide on all recordings that have a file and were not dropped.

    What was decided before with the same tagger and settings is passed over.

    Args:
        catalogue: Gets each decision at once: an interrupted run goes on from there.
        audio: Folder of the recordings.
        tagger: Named in the decisions.
        gate: When it is music.
        engine: Where files are read and tagged; this process when None.
        load: Loads the tagger in each worker; the tagger itself is sent to them when None.

    Returns:
        How many there are of `review`, `keep`, `before`, `no file`, `dropped` and `bad`.

    Raises:
        ValueError: The tagger has not one of the classes.
    """
    class_columns(gate.classes, tagger.classes)
    by, decided = signature(tagger, gate), read_decisions(catalogue)
    done = {d.id for d in decided if (d.stage, d.by) == (STAGE, by)}
    dropped = {name for name, d in final_decisions(decided).items() if d.verdict == "drop"}
    counts: Counter[str] = Counter()
    waiting = []
    for record in read_catalogue(catalogue):
        if record.id in dropped:
            counts["dropped"] += 1
        elif record.id in done:
            counts["before"] += 1
        elif record.file is None:
            counts["no file"] += 1
        else:
            waiting.append(record)
    load = load or partial(_itself, tagger)
    for decision in decide_all(waiting, audio, load=load, gate=gate, engine=engine):
        if isinstance(decision, str):
            counts["bad"] += 1
            logger.warning("recording left out: %s", decision)
        else:
            add_decisions(catalogue, [decision])
            counts[decision.verdict] += 1
    return counts


def _itself(tagger: Tagger) -> Tagger:
    return tagger


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
        tagger: The tagger.
        gate: When it is music.
        block_seconds: About how much audio is worked on at once.

    Raises:
        ValueError: The record has no file, or the tagger not one of the classes.
        AudioFileError: The file cannot be used as audio.
    """
    if record.file is None:
        raise ValueError(f"{record.id}: has no file")
    tagged = tag_recording(audio / record.file, tagger, gate.classes, block_seconds=block_seconds)
    seconds = music_of(tagged, tagger, gate)
    means, columns = tagged.means.topk(min(TOP_CLASSES, len(tagged.means)))
    top = [
        f"{tagger.classes[column]} {mean:.2f}"
        for mean, column in zip(means.tolist(), columns.tolist(), strict=True)
    ]
    return Decision(
        id=record.id,
        verdict="review" if seconds >= gate.seconds - ROUNDING else "keep",
        stage=STAGE,
        reason=f"{seconds:.1f} of {tagged.duration:.1f} s with music; on average {', '.join(top)}",
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
        load: Loads the tagger in each worker.
        gate: When it is music.
        engine: Where files are read and tagged; this process when None.

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


def music_of(tagged: TaggedRecording, tagger: Tagger, gate: MusicGate) -> float:
    """Return the seconds of music, which are not more than there is audio."""
    seconds = active_seconds(
        tagged.music,
        seconds_per_frame=tagger.seconds_per_frame,
        threshold=gate.threshold,
        counting=gate.counting,
    )
    return min(seconds, tagged.duration)
