"""What the commands that make sets are asked for, checked before a model is loaded."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

if TYPE_CHECKING:
    from stable_audio_open.evaluation.protocols.protocol import Prompt, Protocol

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help='"tiny" (bundled), a checkpoint (folder or file), or a hub name.'
    ),
]
Prompts = Annotated[
    Path,
    typer.Option(
        metavar="CSV",
        help="AudioCaps' test.csv, or song_describer.csv, as they are published: with the columns "
        "audiocap_id, youtube_id and caption, or caption_id, track_id and caption.",
    ),
]
ProtocolName = Annotated[
    Literal["audiocaps", "song-describer"],
    typer.Option("--protocol", help="Sounds of 10 s, or music of 47 s."),
]
Subset = Annotated[
    str,
    typer.Option(
        metavar="all|no-speech|no-connectors|no-speech-no-connectors|no-singing",
        help="Take a subset of the prompts: the first three of AudioCaps, the last of Song "
        "Describer.",
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Take the first prompts alone.", show_default="all")
]
Seed = Annotated[int, typer.Option(help="Of the table's first caption; the others count up.")]
Steps = Annotated[int, typer.Option(help="Sampling steps.")]
Guidance = Annotated[float, typer.Option(help="How closely to follow the prompts.")]
Sampler = Annotated[str, typer.Option(help="As `generate --help` lists them.")]
Batch = Annotated[int, typer.Option(min=1, help="Sounds at once, in each process.")]


class Asked(NamedTuple):
    """Prompts, and how to generate from them."""

    protocol: "Protocol"
    prompts: "list[Prompt]"
    """The whole table."""
    chosen: "list[Prompt]"
    """Those to generate."""
    subset: str
    """That they are of."""
    steps: int
    guidance: float
    sampler: str
    seed: int
    batch: int
    lora: list[tuple[str, float]]
    """Folders of adapters, and how much of each is merged."""


def check_asked(
    table: Path,
    protocol: str,
    *,
    subset: str,
    limit: int | None,
    steps: int,
    guidance: float,
    sampler: str,
    seed: int,
    batch: int,
    lora: list[str] | None,
) -> Asked:
    """Read the prompts and check what can be checked without a model.

    Raises:
        OSError: The table cannot be read.
        ValueError: It is not as documented, the subset is none of this protocol or keeps nothing,
            or an option is out of its range.
    """
    from stable_audio_open.cli.options import adapters
    from stable_audio_open.diffusion.samplers import MAX_SEED, get_sampler
    from stable_audio_open.evaluation.protocols.named import PROTOCOLS
    from stable_audio_open.request import check_texts

    chosen_protocol = PROTOCOLS[protocol]
    prompts = chosen_protocol.read(table)
    chosen = chosen_protocol.subset(subset, prompts)[:limit]
    if not chosen:
        raise ValueError(
            f"{table}: none of {len(prompts)} captions is in the subset {subset}; choose "
            "another one"
        )
    check_texts([prompt.text for prompt in chosen], "prompt")
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {seed}")
    if not math.isfinite(guidance):
        raise ValueError(f"guidance scale must be a finite number, got {guidance}")
    get_sampler(sampler)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    return Asked(
        protocol=chosen_protocol,
        prompts=prompts,
        chosen=chosen,
        subset=subset,
        steps=steps,
        guidance=guidance,
        sampler=sampler,
        seed=seed,
        batch=batch,
        lora=adapters(lora),
    )
