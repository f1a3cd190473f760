"""Whole runs on a data set: generations alone, or the paper's evaluation with its tables."""

from collections.abc import Callable
from functools import partial

from stable_audio_open.data.processes import joined_processes
from stable_audio_open.evaluation.protocols.references import missing_references
from stable_audio_open.evaluation.report.tables import read_runs
from stable_audio_open.evaluation.report.writing import write_report
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.jobs.protocol.generations import seconds_of
from stable_audio_open.jobs.protocol.make import make_protocol_generations, make_sets
from stable_audio_open.jobs.protocol.measure import MeasuredFolders, measure_sets
from stable_audio_open.jobs.protocol.metrics import PublishedReferences, load_metrics
from stable_audio_open.jobs.protocol.request import (
    Asked,
    GenerationsRequest,
    ProtocolRequest,
    check_generations,
    check_protocol,
)
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.pretrained_autoencoder import AudioAutoencoder

MISSING = "missing_references.txt"

Tell = Callable[[str], None]
"""Takes what was found, line by line."""


def _silent(line: str) -> None:
    del line


def run_generations(request: GenerationsRequest, *, tell: Tell = _silent) -> None:
    """Generate one file for each caption, where the folder lacks it.

    Processes of torchrun share the work; the first one alone tells.

    Args:
        request: Model, captions, folder and sampling.
        tell: Takes what was made, line by line.

    Raises:
        ValueError: The model cannot be loaded, the folder holds files that were made otherwise, or
            for the reasons of `check_generations`.
    """
    asked = check_generations(request)
    with joined_processes() as processes:
        model = StableAudio.from_pretrained(request.model, **request.loading(processes))
        made = make_protocol_generations(model, asked, request.output, processes)
    if processes.rank != 0:
        return
    seconds, wanted = seconds_of(asked, model), asked.protocol.seconds
    tell(f"{request.output}: {len(made)} of {len(asked.prompts)} captions, {seconds:.2f} s each")
    if seconds < wanted:
        tell(f"warning: {wanted:g} s are asked for, which is more than the model's window")


def run_protocol(request: ProtocolRequest, *, tell: Tell = _silent) -> None:
    """Make what is missing, measure it and write the report.

    Processes of torchrun share the making; the first one alone measures and tells.

    Args:
        request: Model, captions, references, folder, sampling and metrics.
        tell: Takes what was found, line by line.

    Raises:
        AudioFileError: A reference cannot be read.
        ValueError: A model cannot be loaded, generations of an autoencoder alone are asked for, a
            folder holds files that were made otherwise, or for the reasons of `check_protocol`.
    """
    asked = check_protocol(request)
    with joined_processes() as processes:
        # What is wrong with a network is said before any work.
        metrics = processes.in_first(
            partial(
                load_metrics,
                frechet=request.frechet,
                kl=request.kl,
                clap=request.clap,
                device=request.metrics_device,
                published=PublishedReferences(
                    request.frechet_reference, request.kl_reference, request.subset
                ),
            )
        )
        model: StableAudio | AudioAutoencoder = load(request.model, **request.loading(processes))
        sets = make_sets(model, asked, request.part, processes)
        if processes.rank != 0:
            return
        _list_missing(asked, tell)
        for measured in measure_sets(sets, asked, metrics or {}):
            _tell_measured(measured, tell)
        runs = read_runs([made.folder for made in sets])
        for path in write_report(request.output, runs, players=request.players):
            tell(str(path))


def _list_missing(asked: Asked, tell: Tell) -> None:
    """Leave a list of the references that are not there; none where none is asked for."""
    missing = []
    if not asked.without_recordings:
        missing = missing_references(asked.chosen, asked.references)
    path = asked.request.output / MISSING
    path.unlink(missing_ok=True)
    if missing:
        replace_bytes(path, "".join(f"{clip}\n" for clip in missing).encode())
        tell(f"{path}: {len(missing)} references are missing")


def _tell_measured(measured: MeasuredFolders, tell: Tell) -> None:
    found = measured.found
    without = f", {measured.unpaired} without a reference" if measured.unpaired else ""
    names = ", ".join(path.stem for path in found.results) or "nothing measured"
    tell(f"{measured.folder}, {measured.subset}: {measured.files} files{without}; {names}")
    if found.silent:
        tell(f"warning: {found.silent} of {measured.files} files are silent")
    for metric, reason in found.unmeasured.items():
        tell(f"warning: no {metric} of {measured.subset}: {reason}")
