"""The stages of a generation, each for itself, as `generate` does them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from stable_audio_open.conditioning.conditioner import Prepared
from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.denoiser import VDenoiser
from stable_audio_open.diffusion.guidance import GuidedVelocity
from stable_audio_open.diffusion.samplers import get_sampler, initial_noise
from stable_audio_open.diffusion.schedule import time_from_sigma
from stable_audio_open.evaluation.speed import Stage, measure_stage
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request import noise_levels


@torch.inference_mode()
def measure_stages(
    model: LatentDiffusion,
    prepared: Prepared,
    *,
    frames: int,
    steps: int,
    chunks: Sequence[int],
    repeats: int,
) -> list[Stage]:
    """Measure text encoding, diffusion, and decoding as a whole and at several chunk sizes.

    Args:
        model: In evaluation mode; all its parts are on one device.
        prepared: Prompts and numbers of the batch.
        frames: Latents of a sound.
        steps: Sampling steps in a call, with guidance.
        chunks: Latents in a chunk, the overlap not counted.
        repeats: Timed calls.
    """
    autoencoder, device = model.autoencoder, model.device
    conditioning: Conditioning = model.conditioner(prepared)
    items = len(conditioning.cross)
    shape = (autoencoder.latent_channels, frames)
    noise = initial_noise(shape, list(range(items))).to(device)
    latents = noise.to(autoencoder.dtype)

    def diffuse() -> Tensor:
        sigmas = noise_levels("polyexponential", steps, 0.3, 500.0)
        transformer = ConditionedTransformer(
            model.transformer,
            conditioning,
            negative=None,
            times=map(time_from_sigma, sigmas),
            frames=frames,
        )
        velocity = GuidedVelocity(
            pair=transformer.pair, conditional=transformer.conditional, scale=7.0
        )
        return get_sampler("dpmpp-2m")(VDenoiser(velocity), noise * sigmas[0], sigmas)

    def decode_whole() -> Tensor:
        with parametrize.cached():  # as chunks are decoded
            return autoencoder.decode(latents, chunked=False)

    seconds = items * frames * autoencoder.downsampling / autoencoder.sample_rate
    stages = [
        measure_stage("text encoding", lambda: model.conditioner(prepared), device=device,
                      repeats=repeats, unit="prompts/s", amount=items),
        measure_stage("diffusion", diffuse, device=device, repeats=repeats, unit="steps/s",
                      amount=steps),
        measure_stage("decoding, whole", decode_whole,
                      device=device, repeats=repeats, unit="x real time", amount=seconds),
    ]  # fmt: skip
    for core in chunks:
        name = f"decoding, chunks of {core}"
        stages.append(
            measure_stage(name, lambda core=core: autoencoder.decode(latents, core=core),  # type: ignore[misc]
                          device=device, repeats=repeats, unit="x real time", amount=seconds)
        )  # fmt: skip
    return stages
