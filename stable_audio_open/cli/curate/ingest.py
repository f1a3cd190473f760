"""`stable-audio-open curate ingest`: what a catalogue says, in one form."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stable_audio_open.cli.curate.options import Address, EngineName, Workers, make_engine
from stable_audio_open.cli.printing import echo
from stable_audio_open.curation.catalogue.ingest import NOTES, REJECTS, SourceRow, with_files
from stable_audio_open.curation.catalogue.ingest import ingest as write_rows

if TYPE_CHECKING:
    from stable_audio_open.engine.engine import Engine

Kind = Literal["freesound", "fma", "folder", "manifest", "debian"]


def ingest(
    kind: Annotated[Kind, typer.Argument(help="What the sources are.")],
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="freesound: JSON of the API or of FSD50K, JSON lines, or folders of them; fma: "
            "the folder with tracks.csv and genres.csv; folder: recordings with name.json beside "
            "name.wav, or with tags; manifest: a training manifest (manifest.jsonl); debian: names "
            "of packages, whose copyright files tell the licence of each recording.",
        ),
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the catalogue.")
    ],
    audio: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the recordings of Freesound or FMA, to find the file of each number, "
            "or of a manifest's files, where it is not the manifest's own; of Debian's packages "
            "the folder that holds theirs, into which those that are not there are fetched.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of a catalogue that is there.")
    ] = False,
    engine: EngineName = "serial",
    workers: Workers = None,
    address: Address = None,
) -> None:
    """Read a catalogue of recordings into Parquet; bad rows are kept in rejects.jsonl."""
    if kind == "folder" and (len(sources) > 1 or audio is not None):
        raise ValueError("folder takes one SOURCE, which holds the recordings, and no --audio")
    if kind != "folder" and engine != "serial":
        raise ValueError(f"--engine {engine} is for folder; {kind} reads no audio")
    if kind == "debian" and audio is None:
        raise ValueError("debian needs --audio DIR, the folder that holds the packages' folders")
    needed = () if kind == "debian" else (*sources, *filter(None, (audio,)))
    for source in needed:
        if not source.exists():
            raise FileNotFoundError(2, "no such file or folder", str(source))

    from stable_audio_open.audio.paths import files_by_number

    runs = make_engine(engine, workers, address)
    rows: Iterator[SourceRow] = (
        row for source in sources for row in _rows(kind, source, audio, runs)
    )
    if audio is not None and kind in ("freesound", "fma"):
        rows = with_files(rows, files_by_number(audio))
    counts = write_rows(rows, output, replace=replace)
    rejected = f"; {counts.rejects} rejects in {output / REJECTS}" if counts.rejects else ""
    noted = f"; {counts.notes} notes in {output / NOTES}" if counts.notes else ""
    echo(f"{output}: {counts.records} records, {counts.with_file} with a file{rejected}{noted}")
    if not counts.records:
        raise ValueError(f"{output}: no row could be used; {_why_none(kind, sources, output)}")


def _why_none(kind: Kind, sources: list[Path], output: Path) -> str:
    from stable_audio_open.audio.paths import SUFFIXES

    if (output / REJECTS).stat().st_size:
        return f"see {output / REJECTS}"
    lacking = f"recordings ({', '.join(SUFFIXES)})" if kind == "folder" else "rows"
    return f"{', '.join(map(str, sources))}: no {lacking} there"


def _rows(kind: Kind, source: Path, audio: Path | None, engine: "Engine") -> Iterator[SourceRow]:
    if kind == "debian":
        from stable_audio_open.curation.sources.debian import read_debian

        assert audio is not None  # asked before
        return read_debian(str(source), audio)
    if kind == "manifest":
        from stable_audio_open.curation.sources.manifest import read_listed

        return read_listed(source, audio)
    if kind == "freesound":
        from stable_audio_open.curation.sources.freesound_json import read_freesound

        return read_freesound(source)
    if kind == "fma":
        from stable_audio_open.curation.sources.fma import read_fma

        return read_fma(source)
    from stable_audio_open.curation.sources.folder import read_folder

    return read_folder(source, engine=engine)
