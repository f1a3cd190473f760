"""`stable-audio-open evaluate speed`: steps per second and memory of each stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stable_audio_open.cli import options

if TYPE_CHECKING:
    from stable_audio_open.latent_diffusion import LatentDiffusion

CHUNKS = (32, 64, 128, 256, 512)
"""Latents; of these, what is not below the window is left out."""


def speed(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|CONFIG",
            help='"tiny", a checkpoint or a hub name; a configuration (.json) is measured with '
            "random weights.",
        ),
    ],
    window: Annotated[
        float | None, typer.Option(help="Seconds of sound.", show_default="the model's window")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps in a measurement.")] = 20,
    chunk: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Latents in a chunk of decoding, the overlap not counted; may be given again.",
            show_default="32, 64, 128, 256, 512",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sounds at once.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements, after a warm-up.")] = 5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSON file to write.")
    ] = None,
    text_encoder: options.TextEncoder = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    attention: options.Attention = "sdpa",
    threads: options.Threads = None,
) -> None:
    """Measure text encoding, diffusion steps with guidance, and decoding at several chunk sizes.

    The figures that the paper has (section 5.4, appendix B) stand below, of other machines.
    """
    import math

    import torch

    from stable_audio_open.audio.saving import check_folder
    from stable_audio_open.builders.random_model import full_prompts
    from stable_audio_open.cli.evaluate.stages import measure_stages
    from stable_audio_open.evaluation.speed import (
        Speed,
        machine_name,
        process_memory,
        speed_table,
        to_json,
    )
    from stable_audio_open.evaluation.weights import module_hash
    from stable_audio_open.files.atomic import replace_bytes
    from stable_audio_open.pretrained import StableAudio

    if output is not None:
        check_folder(output.parent)
    options.use_threads(threads)
    random = model.endswith(".json")
    if random:
        system = _random(model, text_encoder, device=device, dtype=dtype, attention=attention)
    else:
        system = StableAudio.from_pretrained(
            model, device=device, dtype=dtype, text_encoder=text_encoder, attention=attention
        )
    longest = system.window_seconds
    if window is not None and not 0 < window <= longest:
        raise ValueError(
            f"--window must be above 0 and at most the model's {longest:.2f} seconds, got {window}"
        )
    hop = system.autoencoder.downsampling
    frames = math.ceil((window or longest) * system.sample_rate / hop)
    frames = min(frames, system.window_frames)
    for core in chunk or ():
        if core >= frames:
            typer.echo(
                f"warning: --chunk {core} is left out: the {frames} latents of the window are "
                "one chunk, which is decoding as a whole"
            )
    stages = measure_stages(
        system,
        full_prompts(system.conditioner, batch),
        frames=frames,
        steps=steps,
        chunks=[core for core in chunk or CHUNKS if core < frames],
        repeats=repeats,
    )
    peak = process_memory()  # hashing copies weights from the GPU
    result = Speed(
        model=model,
        checkpoint_hash=None if random else module_hash(system),
        machine=machine_name(system.device),
        torch=str(torch.__version__),
        dtype=str(system.transformer.dtype).removeprefix("torch."),
        threads=None if system.device.type == "cuda" else torch.get_num_threads(),
        batch=batch,
        seconds=frames * hop / system.sample_rate,
        frames=frames,
        repeats=repeats,
        stages=tuple(stages),
        process_memory=peak,
    )
    if output is not None:
        replace_bytes(output, to_json(result))
    typer.echo(speed_table(result))


def _random(
    path: str, text_encoder: str | None, *, device: str | None, dtype: str | None, attention: str
) -> "LatentDiffusion":
    """Build the model of a configuration with random weights."""
    from stable_audio_open.builders.random_model import random_model
    from stable_audio_open.config.model import DiffusionModelConfig
    from stable_audio_open.config.read import read_config
    from stable_audio_open.pretrained import place

    config = read_config(Path(path))
    if not isinstance(config, DiffusionModelConfig):
        raise ValueError(f"{path}: is of an autoencoder alone; give the configuration of a model")
    return place(
        random_model(config, text_encoder=text_encoder),
        device=device,
        dtype=dtype,
        attention=attention,
    )
