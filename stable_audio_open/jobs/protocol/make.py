"""The files that a model makes for a protocol, shared out over the processes of torchrun."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.data.processes import JoinedProcesses
from stable_audio_open.evaluation.generations.sets import SetFile
from stable_audio_open.evaluation.report.published import Kind
from stable_audio_open.jobs.protocol.generations import generations_of, seconds_of
from stable_audio_open.jobs.protocol.reconstructions import reconstructions_of
from stable_audio_open.jobs.protocol.references import cuts_of
from stable_audio_open.jobs.protocol.request import (
    GENERATIONS,
    RECONSTRUCTIONS,
    REFERENCES,
    Asked,
    Part,
)
from stable_audio_open.jobs.protocol.work import Work
from stable_audio_open.pretrained import StableAudio


class MadeSet(NamedTuple):
    """What was made of the table, and what it is compared with."""

    kind: Kind
    folder: Path
    """Folder of the files; results go there too."""
    files: Sequence[SetFile]
    """Files that are there; known to the first process alone."""
    references: Mapping[str, Path]
    """File of each clip that has one."""


def make_protocol_generations(
    model: StableAudio, asked: Asked, folder: Path, processes: JoinedProcesses
) -> list[SetFile]:
    """Generate what is missing of the chosen captions.

    Returns:
        What is there of the whole table; for the first process alone.

    Raises:
        ValueError: The folder holds files of another model or other settings.
    """
    work = generations_of(model, asked, folder)
    work.open(processes)
    return work.do(processes)


def make_sets(
    model: StableAudio | AudioAutoencoder, asked: Asked, part: Part, processes: JoinedProcesses
) -> list[MadeSet]:
    """Make all that the tables of a part are about.

    Args:
        model: The model; of an autoencoder alone, the tables of autoencoders are all there are.
        asked: Captions, references and sampling.
        part: Which tables.
        processes: They share the work.

    Raises:
        AudioFileError: A reference cannot be read.
        FloatingPointError: The model gave NaN.
        ValueError: Generations of an autoencoder alone are asked for, or a folder holds files that
            were made otherwise.
    """
    output, sets = asked.request.output, list[tuple[Kind, Work, Mapping[str, Path]]]()
    cuts = None
    autoencoder: AudioAutoencoder
    if isinstance(model, StableAudio):
        autoencoder = model.autoencoder
        if part != "autoencoder":
            cuts = cuts_of(seconds_of(asked, model), asked, output / REFERENCES)
            compared = {one.clip: cuts.folder / one.file for one in cuts.files}
            sets.append(
                ("generation", generations_of(model, asked, output / GENERATIONS), compared)
            )
    else:
        autoencoder = model
        if part == "generation":
            raise ValueError(
                f"{asked.request.model} is an autoencoder alone; ask for the part autoencoder"
            )
    if part != "generation":
        work = reconstructions_of(autoencoder, asked, output / RECONSTRUCTIONS)
        sets.append(("reconstruction", work, asked.references))
    # What can be refused comes before the long work: folders of other files, damaged references.
    for _, work, _ in sets:
        work.open(processes)
    if cuts is not None:
        cuts.do(processes)
    # Reconstructions first: they take less long, and find references that are damaged inside.
    made = [
        MadeSet(kind, work.folder, work.do(processes), references)
        for kind, work, references in reversed(sets)
    ]
    return made[::-1]
