"""`stable-audio-open curate music`: which recordings hold enough music to be reviewed."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.curate.options import (
    Address,
    AudioFolder,
    Classes,
    CountingName,
    EngineName,
    Gpus,
    Seconds,
    TaggerName,
    Workers,
    make_engine,
)
from stable_audio_open.cli.options import Device
from stable_audio_open.cli.printing import echo
from stable_audio_open.settings import MusicGate

DEFAULTS = MusicGate()


def music(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    *,
    audio: AudioFolder,
    tagger: TaggerName,
    threshold: Annotated[
        float, typer.Option(help="Probability from which on a class is active.")
    ] = DEFAULTS.threshold,
    seconds: Seconds = DEFAULTS.seconds,
    counting: CountingName = "total",
    classes: Classes = None,
    device: Device = None,
    engine: EngineName = "serial",
    workers: Workers = None,
    address: Address = None,
    gpus_per_worker: Gpus = None,
) -> None:
    """Send recordings with enough music in them to copyright review.

    What was decided before with the same tagger and settings is passed over.
    """
    from stable_audio_open.audio_models.registry import MUSIC_TAGGERS
    from stable_audio_open.curation.music.stage import gate_catalogue

    gate = MusicGate(
        threshold=threshold, seconds=seconds, counting=counting, classes=tuple(classes or ())
    )
    runs = make_engine(engine, workers, address, gpus_per_worker)
    there = device or "cpu"
    # Here too it is loaded, for its name; on the CPU where workers tag.
    model = MUSIC_TAGGERS.load(tagger, device=there if engine == "serial" else "cpu")
    counts = gate_catalogue(
        catalogue,
        audio,
        tagger=model,
        gate=gate,
        engine=runs,
        load=None if engine == "serial" else partial(MUSIC_TAGGERS.load, tagger, device=there),
    )
    echo(
        f"{catalogue}: {counts['review']} to review, {counts['keep']} below the threshold, "
        f"{counts['before']} decided before, {counts['dropped']} dropped before, "
        f"{counts['no file']} without a file, {counts['bad']} unusable"
    )
