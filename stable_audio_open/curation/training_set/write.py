"""The whole way from a catalogue and its decisions to a folder that a training reads."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.curation.catalogue.decisions import final_decisions, read_decisions
from stable_audio_open.curation.catalogue.parquet import read_catalogue, write_catalogue
from stable_audio_open.curation.licences.policy import require_licences
from stable_audio_open.curation.training_set.chunks import (
    ChunkSettings,
    DrawnChunk,
    recording_chunks,
    write_chunks,
)
from stable_audio_open.curation.training_set.fidelity import FidelitySettings, file_fidelity
from stable_audio_open.curation.training_set.recording_shards import write_shards
from stable_audio_open.curation.training_set.select import (
    MANIFEST,
    SUMMARY,
    SelectedRecording,
    open_items,
    select,
    write_manifest_lines,
    write_summary,
)
from stable_audio_open.engine.engine import Engine, Serial, Stage

CHUNKS = "chunks.jsonl"

Form = Literal["manifest", "shards"]


def build_training_set(
    catalogue: Path,
    audio: Path,
    output: Path,
    *,
    form: Form,
    seed: int = 0,
    allow_unlicensed: bool = False,
    per_shard: int = 256,
    chunks: bool = False,
    chunk_settings: ChunkSettings | None = None,
    fidelity_settings: FidelitySettings | None = None,
    engine: Engine | None = None,
) -> list[SelectedRecording]:
    """Write what stands of a catalogue as a training set.

    The folder gets the manifest (paths relative to `audio`) or the shards, the records as a
    catalogue of their own, the chunks where asked for, and, last, `set.json`.

    Args:
        catalogue: Folder of the catalogue, with its decisions.
        audio: Folder of the files.
        output: A new or empty folder.
        form: `manifest` over the files in place, or `shards` with copies.
        seed: Seed of the order of shards and of the chunks.
        allow_unlicensed: Take recordings without licence or author too.
        per_shard: Recordings in each shard but the last.
        chunks: Measure fidelity and draw the autoencoder's chunks.
        chunk_settings: Those of the paper by default.
        fidelity_settings: Thresholds of high fidelity.
        engine: What measures fidelity; this process when None.

    Returns:
        The recordings of the set.

    Raises:
        ValueError: When the folder is not empty, no recording stands, or one may not be used.
        AudioFileError: When none can be read.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output}: is not an empty folder; give another, or empty it")
    chosen = select(read_catalogue(catalogue), final_decisions(read_decisions(catalogue)))
    if not chosen.records:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(chosen.left_out.items()))
        raise ValueError(f"{catalogue}: no recording stands ({reasons or 'it is empty'})")
    require_licences(chosen.records, allow_unlicensed=allow_unlicensed)
    items, unusable = open_items(chosen.records, audio)
    output.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"form": form, "seed": seed, "allow_unlicensed": allow_unlicensed}
    if form == "shards":
        _, unreadable = write_shards(output, items, audio, seed=seed, per_shard=per_shard)
        items = _without(items, unusable, unreadable)
        settings["per_shard"] = per_shard
    more: dict[str, Any] = {}
    if chunks:
        chunk_settings = chunk_settings or ChunkSettings()
        fidelity_settings = fidelity_settings or FidelitySettings()
        fidelities, unreadable = measure(items, audio, fidelity_settings, engine=engine)
        items = _without(items, unusable, unreadable)
        drawn = draw(items, fidelities, seed, chunk_settings)
        more["chunks"] = write_chunks(output / CHUNKS, drawn)
        more["high_fidelity"] = sum(fidelities.values())
        settings |= {"chunks": chunk_settings, "fidelity": fidelity_settings}
    if form == "manifest":
        write_manifest_lines(output / MANIFEST, items)
    write_catalogue(output, (item.record for item in items))
    write_summary(
        output / SUMMARY,
        items,
        **more,
        left_out=dict(sorted(chosen.left_out.items())) | {"unusable": len(unusable)},
        unusable=unusable,
        settings=settings,
    )
    return items


def measure(
    items: Sequence[SelectedRecording],
    audio: Path,
    settings: FidelitySettings,
    *,
    engine: Engine | None = None,
) -> tuple[dict[str, bool], dict[str, str]]:
    """Return which recordings are of high fidelity, by identifier, and why a file is unreadable."""
    found: dict[str, bool] = {}
    unreadable: dict[str, str] = {}
    stage = Stage("fidelity", partial(_measurer, audio, settings))
    files = [str(record.file) for record, _ in items]
    measured = (engine or Serial()).map(stage, files)
    for (record, _), high in zip(items, measured, strict=True):
        if isinstance(high, str):
            unreadable[str(record.file)] = high
        else:
            found[record.id] = high
    return found, unreadable


def _measurer(audio: Path, settings: FidelitySettings) -> Callable[[str], bool | str]:
    """Return what says whether a file is of high fidelity, or why it is unreadable."""

    def measured(file: str) -> bool | str:
        try:
            return file_fidelity(audio / file, settings).high
        except AudioFileError as error:
            return str(error)

    return measured


def draw(
    items: Sequence[SelectedRecording],
    fidelities: dict[str, bool],
    seed: int,
    settings: ChunkSettings,
) -> Iterator[DrawnChunk]:
    """Yield the chunks of all recordings, in their order."""
    for record, info in items:
        yield from recording_chunks(
            str(record.file),
            info.duration,
            name=record.id,
            high_fidelity=fidelities[record.id],
            seed=seed,
            settings=settings,
        )


def _without(
    items: list[SelectedRecording], unusable: dict[str, str], more: dict[str, str]
) -> list[SelectedRecording]:
    """Note further unusable files, and return the recordings without them."""
    unusable |= more
    kept = [item for item in items if str(item.record.file) not in unusable]
    if not kept:
        raise AudioFileError(f"no recording can be read; {next(iter(unusable.values()))}")
    return kept
