"""What is asked of the jobs that make sets, checked before a model is loaded."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.diffusion.samplers import MAX_SEED, get_sampler
from stable_audio_open.evaluation.protocols.named import PROTOCOLS
from stable_audio_open.evaluation.protocols.protocol import Prompt, Protocol
from stable_audio_open.request import check_texts


class Asked(NamedTuple):
    """Prompts, and how to generate from them."""

    protocol: Protocol
    prompts: list[Prompt]
    """The whole table."""
    chosen: list[Prompt]
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
    lora: Sequence[tuple[str, float]] = (),
) -> Asked:
    """Read the prompts and check what can be checked without a model.

    Raises:
        OSError: The table cannot be read.
        ValueError: It is not as documented, the subset is none of this protocol or keeps nothing,
            or an option is out of its range.
    """
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
        lora=list(lora),
    )
