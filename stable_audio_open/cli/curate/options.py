"""Options that several commands of curation share, and the engines by their names."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from stable_audio_open.engine.engine import Engine

AudioFolder = Annotated[
    Path, typer.Option("--audio", metavar="FOLDER", help="Folder of the recordings.")
]
TaggerName = Annotated[
    str,
    typer.Option(
        "--tagger",
        metavar="panns:PATH|musicnn[:WEIGHTS]",
        help="PANNs' Cnn14_DecisionLevelMax checkpoint (the paper's tagger), or the weights of the "
        "package musicnn (MTT_musicnn, MSD_musicnn).",
    ),
]
Seconds = Annotated[float, typer.Option(help="Music for so long goes to review.")]
CountingName = Annotated[
    Literal["total", "contiguous"],
    typer.Option(help="Seconds in all, or the longest stretch."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        metavar="NAME",
        help="Class of music; may be given again.",
        show_default="the tagger's general ones",
    ),
]
EngineName = Annotated[
    Literal["serial", "processes", "ray"],
    typer.Option("--engine", help="Work in this process, in several, or on a Ray cluster."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="Processes, or workers of Ray.", show_default="one per core"
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT|auto",
        help="Address of the Ray cluster, whose nodes see the files at the same paths.",
        show_default="one on this machine",
    ),
]
Gpus = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker",
        min=0,
        help="GPUs of each worker of Ray that holds a model; 0.5 shares one.",
        show_default="0",
    ),
]


def make_engine(
    name: Literal["serial", "processes", "ray"],
    workers: int | None,
    address: str | None,
    gpus: float | None = None,
) -> "Engine":
    """Return an engine by its name on the command line; progress is shown in a terminal.

    Raises:
        ValueError: An option belongs to another engine, or cannot be met.
    """
    if name == "serial" and workers is not None:
        raise ValueError("--workers needs --engine processes or --engine ray")
    for option, value in (("--address", address), ("--gpus-per-worker", gpus)):
        if name != "ray" and value is not None:
            raise ValueError(f"{option} needs --engine ray")
    engine = _make(name, workers, address, gpus or 0.0)
    if not sys.stderr.isatty():
        return engine
    from stable_audio_open.engine.progress import Shown

    return Shown(engine)


def _make(name: str, workers: int | None, address: str | None, gpus: float) -> "Engine":
    if name == "ray":
        from stable_audio_open.engine.ray_data import RayData

        return RayData(address, workers=workers, gpus=gpus)
    if name == "processes":
        from stable_audio_open.engine.processes import SeveralProcesses, available_cores

        return SeveralProcesses(workers or available_cores())
    from stable_audio_open.engine.engine import Serial

    return Serial()
