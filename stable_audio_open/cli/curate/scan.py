"""`stable-audio-open curate scan`: which recordings cannot be trained on."""

from pathlib import Path
from typing import Annotated

import typer

from stable_audio_open.cli.curate.options import (
    Address,
    AudioFolder,
    EngineName,
    Workers,
    make_engine,
)
from stable_audio_open.cli.printing import echo
from stable_audio_open.settings import ScanSettings

DEFAULTS = ScanSettings()


def scan(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    *,
    audio: AudioFolder,
    most_channels: Annotated[
        int, typer.Option(min=1, help="Recordings of more channels are dropped.")
    ] = DEFAULTS.most_channels,
    silence: Annotated[
        float, typer.Option(metavar="DB", help="Peak of silence, in decibels of full scale.")
    ] = DEFAULTS.silence_db,
    engine: EngineName = "serial",
    workers: Workers = None,
    address: Address = None,
) -> None:
    """Decode every recording, and drop what is damaged, silent, or has NaN or too many channels.

    What was kept before with the same settings is passed over.
    """
    from stable_audio_open.curation.scan import scan_catalogue

    settings = ScanSettings(most_channels=most_channels, silence_db=silence)
    runs = make_engine(engine, workers, address)
    counts = scan_catalogue(catalogue, audio, settings, engine=runs)
    echo(
        f"{catalogue}: {counts['keep']} sound, {counts['before']} known to be, {counts['drop']} "
        f"dropped, {counts['no file']} without a file"
    )
