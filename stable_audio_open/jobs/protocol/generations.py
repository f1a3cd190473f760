"""Generations from the captions of a table, as files to make."""

from collections.abc import Sequence
from pathlib import Path

from stable_audio_open.audio.audio import Audio
from stable_audio_open.checkpoint.lora.adapter import adapter_names
from stable_audio_open.evaluation.generations.folder import SUFFIX
from stable_audio_open.evaluation.generations.sets import (
    GenerationSettings,
    SetFile,
    Settings,
)
from stable_audio_open.evaluation.protocols.protocol import CaptionPrompt
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.jobs.protocol.request import Asked
from stable_audio_open.jobs.protocol.work import Work
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.request.request import check_seeds
from stable_audio_open.request.sampling_settings import resolve_sampling


def seconds_of(asked: Asked, model: StableAudio) -> float:
    """Return the length of generations: the protocol's, or the model's window where it is less."""
    return min(asked.protocol.seconds, model.window_seconds)


def generations_of(model: StableAudio, asked: Asked, folder: Path) -> Work:
    """Return the work of generating from the chosen captions."""
    request, seconds = asked.request, seconds_of(asked, model)
    sampling = resolve_sampling(
        model,
        {
            "steps": request.steps,
            "guidance_scale": request.guidance_scale,
            "sampler": request.sampler,
        },
    )
    scale = sampling.guidance_scale
    assert isinstance(scale, float | int), "a protocol has one scale"
    table = generation_files(asked.prompts, check_seeds(request.seed, len(asked.prompts)))
    chosen = {prompt.id for prompt in asked.chosen}

    def settings() -> Settings:
        return GenerationSettings(
            model=request.model,
            lora=adapter_names(request.lora),
            weights=module_hash(model),
            protocol=asked.protocol.name,
            prompts=asked.prompts_hash,
            seconds=seconds,
            sample_rate=model.sample_rate,
            channels=model.autoencoder.audio_channels,
            steps=sampling.steps,
            guidance=scale,
            sampler=sampling.sampler,
            seed=request.seed,
        )

    def make(files: Sequence[SetFile]) -> Audio:
        return model.generate(
            [one.prompt or "" for one in files],
            duration=seconds,
            steps=sampling.steps,
            guidance_scale=scale,
            sampler=sampling.sampler,
            seed=[one.seed or 0 for one in files],
            progress=False,
        )

    return Work(
        folder=folder,
        files=[one for one in table if one.id in chosen],
        make=make,
        batch=request.batch,
        settings=settings,
        table=table,
    )


def generation_files(prompts: Sequence[CaptionPrompt], seeds: Sequence[int]) -> list[SetFile]:
    """Return what to generate: one file for each caption, named by it.

    Args:
        prompts: The whole table, so that a caption's seed does not depend on what is asked for.
        seeds: One for each prompt.
    """
    return [
        SetFile(
            id=prompt.id,
            file=f"{prompt.id}{SUFFIX}",
            clip=prompt.clip,
            prompt=prompt.text,
            seed=seed,
        )
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
