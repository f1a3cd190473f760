"""`stable-audio-open curate calibrate-music`: the music gate's threshold from labelled sound."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.curate.options import (
    AudioFolder,
    Classes,
    CountingName,
    Seconds,
    TaggerName,
)
from stable_audio_open.cli.options import Device
from stable_audio_open.cli.printing import echo
from stable_audio_open.settings import MusicGate

DEFAULTS = MusicGate()


def calibrate_music(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="CSV with the columns file,label (1 is music).")
    ],
    *,
    audio: AudioFolder,
    tagger: TaggerName,
    seconds: Seconds = DEFAULTS.seconds,
    counting: CountingName = "total",
    classes: Classes = None,
    device: Device = None,
) -> None:
    """Find the highest threshold at which the music gate misses no music.

    A file that cannot be read stops this: the threshold would mean less than it says.
    """
    from stable_audio_open.audio_models.registry import MUSIC_TAGGERS
    from stable_audio_open.curation.music.calibration import (
        Labelled,
        calibrate,
        critical_of,
        read_labels,
        table,
    )
    from stable_audio_open.curation.music.tagging import tag_recording

    gate = MusicGate(seconds=seconds, counting=counting, classes=tuple(classes or ()))
    rows = read_labels(labels)
    model = MUSIC_TAGGERS.load(tagger, device=device or "cpu")
    labelled = []
    for file, is_music in rows:
        tagged = tag_recording(audio / file, model, gate.classes)
        critical = critical_of(
            tagged,
            seconds_per_frame=model.seconds_per_frame,
            seconds=gate.seconds,
            counting=gate.counting,
        )
        labelled.append(Labelled(file, is_music, critical))
    chosen = calibrate(labelled)
    positives = sum(is_music for _, is_music in rows)
    echo("threshold  missed music  false alarms")
    for row in table(labelled, chosen):
        mark = "  <- highest that misses none" if row.threshold == chosen else ""
        echo(
            f"{row.threshold:<9g}  {row.false_negatives:>5} of {positives:<4} "
            f"{row.false_positives:>5} of {len(rows) - positives}{mark}"
        )
    echo(f"use --threshold {chosen:g}")
