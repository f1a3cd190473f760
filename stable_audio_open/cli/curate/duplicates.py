"""`stable-audio-open curate duplicates`: of each group of copies, one stays."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from stable_audio_open.cli.curate.options import Address, EngineName, Gpus, Workers, make_engine
from stable_audio_open.cli.printing import echo


def duplicates(
    catalogue: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="Folder of a catalogue.")],
    *,
    audio: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the recordings.")],
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="clap:FOLDER|clap:FILE.pt|log-mel|musicnn[:WEIGHTS]",
            help="Find near copies too, with CLAP (as in the paper), log-mel or musicnn.",
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least cosine of near copies; --pairs helps to choose.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Labelled pairs (a,b,label): print what thresholds find, and decide nothing.",
        ),
    ] = None,
    chromaprint: Annotated[
        bool, typer.Option("--chromaprint", help="Find near copies with the command fpcalc too.")
    ] = False,
    search: Annotated[
        Literal["torch", "faiss"],
        typer.Option(help="What compares embeddings; both compare every pair."),
    ] = "torch",
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to embed.")] = "cpu",
    engine: EngineName = "serial",
    workers: Workers = None,
    address: Address = None,
    gpus_per_worker: Gpus = None,
) -> None:
    """Drop exact copies, and send near copies to review; one recording of each group stays."""
    if embedder is None and (threshold is not None or pairs is not None):
        raise ValueError("--threshold and --pairs need an --embedder, such as clap:FOLDER")
    if embedder is not None and (threshold is None) == (pairs is None):
        raise ValueError("--embedder needs either --threshold X or --pairs CSV to choose one by")

    from stable_audio_open.audio_models.registry import EMBEDDERS
    from stable_audio_open.curation.duplicates.calibration import read_pairs
    from stable_audio_open.curation.duplicates.stage import calibrate_duplicates, decide_duplicates
    from stable_audio_open.similarity.pairs import similar_pairs
    from stable_audio_open.similarity.pairs_faiss import similar_pairs_by_faiss

    labelled = read_pairs(pairs) if pairs else None
    runs = make_engine(engine, workers, address, gpus_per_worker)
    # Here too it is loaded, for its name; on the CPU where it is others that embed.
    here = device if engine == "serial" else "cpu"
    model = EMBEDDERS.load(embedder, device=here) if embedder else None
    load = None
    if embedder and engine != "serial":
        load = partial(EMBEDDERS.load, embedder, device=device)
    if model is not None and labelled is not None:
        found = calibrate_duplicates(
            catalogue, audio, embedder=model, pairs=labelled, engine=runs, load=load
        )
        echo("threshold  precision  recall")
        for row in found.rows:
            echo(f"{row.threshold:9.4f}  {row.precision:9.3f}  {row.recall:6.3f}")
        clean = found.no_false_positives
        echo(
            f"lowest without false positives: {'none' if clean is None else f'{clean:.4f}'}\n"
            f"highest without false negatives: {found.no_false_negatives:.4f}"
        )
        return
    copies = decide_duplicates(
        catalogue,
        audio,
        embedder=model,
        threshold=threshold,
        chromaprint=chromaprint,
        search=similar_pairs_by_faiss if search == "faiss" else similar_pairs,
        engine=runs,
        load=load,
    )
    line = f"{copies.recordings} recordings: {copies.exact} exact copies dropped"
    if model is not None or chromaprint:
        line += f", {copies.near} near copies to review"
    echo(line + (f", {copies.unusable} unreadable" if copies.unusable else ""))
