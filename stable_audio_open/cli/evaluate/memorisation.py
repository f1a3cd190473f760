"""`stable-audio-open evaluate memorisation`: whether a model copies its training data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stable_audio_open.cli import options

if TYPE_CHECKING:
    from stable_audio_open.data.manifest import Recording
    from stable_audio_open.evaluation.memorisation.result import Memorisation


def memorisation(
    model: Annotated[
        str,
        typer.Argument(help='"tiny" (bundled), a checkpoint (folder or file), or a hub name.'),
    ],
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the training set.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="For sounds, embeddings, result and page."
        ),
    ],
    embedder: Annotated[
        str,
        typer.Option(
            metavar="clap:FOLDER|log-mel|musicnn[:WEIGHTS]",
            help="In whose space to compare: a ClapModel as in the paper, or without a download.",
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
    ] = 100,
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
    top: Annotated[int, typer.Option(help="Candidates to listen to, of each origin.")] = 50,
    chunk: Annotated[
        float | None,
        typer.Option(
            help="Seconds that are compared at once.", show_default="the window, at most 10"
        ),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds of sound.", show_default="of the recording")
    ] = None,
    steps: Annotated[int, typer.Option(help="Sampling steps.")] = 100,
    guidance: Annotated[float, typer.Option(help="Guidance scale.")] = 7.0,
    seed: Annotated[int, typer.Option(help="Behind all prompts and sounds.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Sounds at once.")] = 8,
    text_encoder: options.TextEncoder = None,
    lora: options.Lora = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
) -> None:
    """Generate with prompts of the training set, and rank what is nearest to it (section 5.3).

    An interrupted run goes on where it stopped; another embedder takes the same sounds. The result
    is `memorisation-EMBEDDER.json` and a page to listen, of the same name; of an embedder with
    weights of its own, the name holds theirs and their hash.
    """
    import sys
    from functools import partial

    import msgspec

    from stable_audio_open.audio.audio import Audio
    from stable_audio_open.audio.files import read_audio
    from stable_audio_open.audio.saving import check_folder
    from stable_audio_open.audio_models.registry import load_embedder
    from stable_audio_open.checkpoint.lora import adapter_names
    from stable_audio_open.data.recordings import read_recordings
    from stable_audio_open.evaluation.generations.prompted import GenerationSettings
    from stable_audio_open.evaluation.memorisation.page import memorisation_page
    from stable_audio_open.evaluation.memorisation.result import StudySettings
    from stable_audio_open.evaluation.memorisation.sets import RecordingSet
    from stable_audio_open.evaluation.memorisation.study import Generator, study_memorisation
    from stable_audio_open.evaluation.result import to_json
    from stable_audio_open.evaluation.weights import module_hash
    from stable_audio_open.files.atomic import replace_bytes
    from stable_audio_open.pretrained import StableAudio
    from stable_audio_open.progress import step_progress

    settings = StudySettings(
        threshold=threshold,
        repeated=repeated,
        random=random,
        per_prompt=per_prompt,
        top=top,
        chunk=10.0 if chunk is None else chunk,
    )
    adapters = options.adapters(lora)
    generation = GenerationSettings(
        model=model,
        lora=adapter_names(adapters),
        prompts=prompts,
        seed=seed,
        steps=steps,
        guidance=guidance,
        duration=duration,
    )
    recordings = {recording.file: recording for recording in read_recordings(data, manifest)}
    unseen = None
    if held_out is not None:
        lines = read_recordings(held_out.parent, held_out.name)
        unseen = RecordingSet(held_out.parent, {one.file: one.caption for one in lines})
    sounds = RecordingSet(given, _sounds(given)) if given else None
    check_folder(output)
    options.use_threads(threads)
    listener = load_embedder(embedder, device=device or "cpu")
    system = StableAudio.from_pretrained(
        model, device=device, dtype=dtype, text_encoder=text_encoder, lora=adapters
    )
    generation = msgspec.structs.replace(generation, weights=module_hash(system))
    if chunk is None:
        settings = msgspec.structs.replace(settings, chunk=min(10.0, system.window_seconds))

    def generate(texts: Sequence[str], seeds: Sequence[int], seconds: float) -> Audio:
        return system.generate(
            texts,
            duration=seconds,
            seed=seeds,
            steps=steps,
            guidance_scale=guidance,
            progress=False,
        )

    def reconstruct(path: Path) -> Audio:
        autoencoder = system.autoencoder
        audio = read_audio(
            path,
            sample_rate=autoencoder.sample_rate,
            channels=autoencoder.audio_channels,
            duration=system.window_seconds,
        )
        return Audio(autoencoder.reconstruct(audio.samples), autoencoder.sample_rate)

    output.mkdir(exist_ok=True)
    result = study_memorisation(
        RecordingSet(data, {file: one.caption for file, one in recordings.items()}),
        output,
        embedder=listener,
        generator=Generator(
            generate=generate,
            prompt=partial(_prompt, recordings, prompts=prompts, seed=seed),
            window=system.window_seconds,
            settings=generation,
            reconstruct=reconstruct if reconstructions else None,
            batch=batch,
            progress=partial(step_progress, shown=sys.stderr.isatty()),
        ),
        settings=settings,
        held_out=unseen,
        given=sounds,
    )
    name = _result_name(embedder, result.checkpoint_hash)
    replace_bytes(output / f"{name}.json", to_json(result))
    replace_bytes(output / f"{name}.html", memorisation_page(result).encode())
    _print(result)
    typer.echo(f"{output / name}.html: listen to the candidates; {name}.json holds the numbers")


def _prompt(
    recordings: "Mapping[str, Recording]", file: str, copy: int, *, prompts: str, seed: int
) -> str:
    from random import Random

    from stable_audio_open.prompts import draw_prompt, is_described

    recording = recordings[file]
    if prompts == "metadata" and is_described(recording):
        return draw_prompt(recording, Random(f"{seed} {copy} {file}"))
    return recording.caption


def _result_name(embedder: str, checkpoint_hash: str | None) -> str:
    """Return a name that no other embedder has, whatever its checkpoint is called."""
    import re

    kind, _, weights = embedder.partition(":")
    if not weights:
        return f"memorisation-{kind}"
    readable = re.sub(r"[^\w.-]+", "-", Path(weights).resolve().name)[:60]
    return f"memorisation-{kind}-{readable}-{(checkpoint_hash or '')[:8]}"


def _sounds(folder: Path) -> dict[str, str]:
    """Return the audio files of a folder; their names stand for their prompts."""
    from stable_audio_open.audio.paths import SUFFIXES, audio_files

    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give one with sounds of the model")
    found = sorted(audio_files(folder))
    if not found:
        raise ValueError(f"{folder}: holds no sounds ({', '.join(SUFFIXES)}); add some")
    return {path.relative_to(folder).as_posix(): path.stem for path in found}


def _print(result: "Memorisation") -> None:
    repeated = sum(map(len, result.repeated))
    typer.echo(
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
            typer.echo(line)
        if found.unreadable:
            typer.echo(
                f"{found.name}: {len(found.unreadable)} recordings cannot be read, "
                f"{found.unreadable[0]!r} first"
            )
    names = list(result.distributions[0].quantiles)
    typer.echo(f"{'cosine to the nearest':44}{'count':>6}" + "".join(f"{n:>8}" for n in names))
    for one in result.distributions:
        values = "".join(f"{one.quantiles[name]:8.3f}" for name in names)
        typer.echo(f"{one.name:44}{one.count:6}{values}")
    for section in result.sections:
        line = f"{section.title}: {section.above_baseline} of {section.sounds} sounds are nearer "
        line += f"than {result.baseline:.3f}"
        if section.nearest_is_prompted is not None:
            line += f", {section.nearest_is_prompted} nearest to the very recording"
        typer.echo(line)
