"""`stable-audio-open curate music`: which recordings hold enough music to be reviewed."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.curate.engine import Address, EngineName, Gpus, Workers, make_engine
from stable_audio_open.cli.curate.tagger import (
    AudioFolder,
    Classes,
    CountingName,
    Seconds,
    TaggerName,
    make_tagger,
)
from stable_audio_open.cli.options import Device


def music(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    audio: AudioFolder,
    tagger: TaggerName,
    threshold: Annotated[
        float, typer.Option(help="Probability from which on a class is heard.")
    ] = 0.15,
    seconds: Seconds = 30.0,
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
    from collections import Counter

    from stable_audio_open.curation.catalogue import read_catalogue
    from stable_audio_open.curation.decisions import add_decisions, read_decisions
    from stable_audio_open.curation.music import STAGE, decide_all, signature
    from stable_audio_open.curation.music_gate import MusicGate, class_columns

    gate = MusicGate(
        threshold=threshold, seconds=seconds, counting=counting, classes=tuple(classes or ())
    )
    runs = make_engine(engine, workers, address, gpus_per_worker)
    # Here too it is loaded, for its name; on the CPU where it is others that listen.
    hears = make_tagger(tagger, device if engine == "serial" else "cpu")
    class_columns(gate.classes, hears.classes)
    by = signature(hears, gate)
    done = {d.id for d in read_decisions(catalogue) if (d.stage, d.by) == (STAGE, by)}
    counts: Counter[str] = Counter()
    waiting = []
    for record in read_catalogue(catalogue):
        if record.id in done:
            counts["before"] += 1
        elif record.file is None:
            counts["no file"] += 1
        else:
            waiting.append(record)
    load = partial(make_tagger, tagger, device) if engine != "serial" else lambda: hears
    for decision in decide_all(waiting, audio, load=load, gate=gate, engine=runs):
        if isinstance(decision, str):
            counts["bad"] += 1
            typer.echo(f"left out: {decision}", err=True)
            continue
        add_decisions(catalogue, [decision])  # at once: an interrupted run goes on from here
        counts[decision.verdict] += 1
    typer.echo(
        f"{catalogue}: {counts['review']} to review, {counts['keep']} below the threshold, "
        f"{counts['before']} decided before, {counts['no file']} without a file, "
        f"{counts['bad']} unusable"
    )
