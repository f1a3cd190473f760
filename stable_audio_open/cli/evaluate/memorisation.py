"""`stable-audio-open evaluate memorisation`: whether a model copies its training data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stable_audio_open.cli import options, parsing
from stable_audio_open.cli.printing import echo
from stable_audio_open.settings import CANDIDATES, RANDOM_RECORDINGS

if TYPE_CHECKING:
    from stable_audio_open.evaluation.memorisation.result import Memorisation


def memorisation(
    model: Annotated[
        str,
        typer.Argument(help='"tiny" (bundled), a checkpoint (folder or file), or a hub name.'),
    ],
    *,
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the training set.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder of sounds, embeddings, result and page.",
        ),
    ],
    embedder: Annotated[
        str,
        typer.Option(
            metavar="clap:FOLDER|log-mel|musicnn[:WEIGHTS]",
            help="Embedder to compare with: a ClapModel as in the paper, or without a download.",
        ),
    ],
    manifest: Annotated[
        str,
        typer.Option(metavar="FILE", help="Manifest, or index.json of shards, within the folder."),
    ] = "manifest.jsonl",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Least cosine of repeated training data, chosen by ear for the embedder.",
            show_default="the same samples alone",
        ),
    ] = None,
    repeated: Annotated[
        int | None,
        typer.Option(help="Repeated recordings that give prompts.", show_default="all"),
    ] = None,
    random: Annotated[
        int, typer.Option(help="Random training recordings that give prompts.")
    ] = RANDOM_RECORDINGS,
    per_prompt: Annotated[int, typer.Option(help="Sounds for each of these recordings.")] = 1,
    prompts: Annotated[
        Literal["caption", "metadata"],
        typer.Option(help="Captions as written, or drawn of all metadata as in section 3.2."),
    ] = "caption",
    given: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Other sounds of the model, such as outstanding ones."),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="Recordings that were not trained on, to compare; their files lie beside it.",
        ),
    ] = None,
    reconstructions: Annotated[
        bool,
        typer.Option(
            "--reconstructions",
            help="Compare what the autoencoder makes of the random recordings: an exact copy.",
        ),
    ] = False,
    top: Annotated[int, typer.Option(help="Candidates to listen to, of each origin.")] = CANDIDATES,
    chunk: Annotated[
        float | None,
        typer.Option(
            help="Seconds that are compared at once.", show_default="the window, at most 10"
        ),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds of sound.", show_default="of the recording")
    ] = None,
    steps: options.Steps = None,
    guidance_scale: options.GuidanceScale = None,
    seed: Annotated[int, typer.Option(help="Seed of all prompts and sounds.")] = 0,
    batch: Annotated[int, typer.Option(min=1, max=65_536, help="Sounds at once.")] = 8,
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.MeasuredDtype = "float32",
    threads: options.Threads = None,
    guidance: options.Guidance = None,
) -> None:
    """Generate with prompts of the training set, and rank what is nearest to it (section 5.3).

    An interrupted run goes on where it stopped; another embedder takes the same sounds. The result
    is `memorisation-EMBEDDER.json` and a page to listen, of the same name; of an embedder with
    weights of its own, the name holds theirs and their hash.
    """
    import sys
    from functools import partial

    from stable_audio_open.jobs.memorisation import MemorisationRequest, run_memorisation
    from stable_audio_open.progress import step_progress

    request = MemorisationRequest(
        model=model,
        data=data,
        manifest=manifest,
        output=output,
        embedder=embedder,
        held_out=held_out,
        given=given,
        reconstructions=reconstructions,
        threshold=threshold,
        repeated=repeated,
        random=random,
        per_prompt=per_prompt,
        top=top,
        chunk=chunk,
        prompts=prompts,
        duration=duration,
        steps=steps,
        guidance_scale=parsing.guidance_scale(guidance_scale, guidance),
        seed=seed,
        batch=batch,
        lora=tuple(parsing.merged_adapters(lora)),
        text_encoder=text_encoder,
        device=device,
        dtype=dtype,
    )
    options.use_threads(threads)
    found = run_memorisation(request, progress=partial(step_progress, shown=sys.stderr.isatty()))
    _print(found.result)
    echo(f"{found.page}: listen to the candidates; {found.json.name} holds the numbers")


def _print(result: "Memorisation") -> None:
    repeated = sum(map(len, result.repeated))
    echo(
        f"{result.sets[0].files} recordings, {repeated} of them repeated in "
        f"{len(result.repeated)} groups; {result.checkpoint}, weights "
        f"{result.checkpoint_hash or 'none'}"
    )
    for found in result.sets:
        if found.silent_windows:
            chunks = found.windows + found.silent_windows
            line = f"{found.name}: {found.silent_windows} of {chunks} chunks are silent, left out"
            if found.silent:
                line += f"; {len(found.silent)} recordings from start to end, "
                line += f"{found.silent[0]!r} first"
            echo(line)
        if found.unreadable:
            echo(
                f"{found.name}: {len(found.unreadable)} recordings cannot be read, "
                f"{found.unreadable[0]!r} first"
            )
    names = list(result.distributions[0].quantiles)
    echo(f"{'cosine to the nearest':44}{'count':>6}" + "".join(f"{n:>8}" for n in names))
    for one in result.distributions:
        values = "".join(f"{one.quantiles[name]:8.3f}" for name in names)
        echo(f"{one.name:44}{one.count:6}{values}")
    for section in result.sections:
        line = f"{section.title}: {section.above_baseline} of {section.sounds} sounds are nearer "
        line += f"than {result.baseline:.3f}"
        if section.nearest_is_prompted is not None:
            line += f", {section.nearest_is_prompted} nearest to the very recording"
        echo(line)
