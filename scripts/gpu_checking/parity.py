"""The same sound on the GPU as on the CPU: relative distances from the CPU in float32."""

import copy
import sys
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gpu_checking.stage import Options, bundled_model, run
from stable_audio_open.generate import generate_latents
from stable_audio_open.latent_diffusion import LatentDiffusion

PROMPTS = ["deep kick drum", "tabla"]


class Case(NamedTuple):
    """A number format, and how far from float32 on the CPU it may lead."""

    dtype: torch.dtype
    tf32: bool
    latents: float
    sound: float


CASES = {
    "float32": Case(torch.float32, False, 2e-3, 1e-3),
    "float32, TF32": Case(torch.float32, True, 0.1, 2e-2),
    "bfloat16": Case(torch.bfloat16, False, 0.5, 5e-2),
    "float16": Case(torch.float16, False, 0.1, 1e-2),
}

DRY = ("float32", "bfloat16")


def parity(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Sample, decode and encode with the bundled model."""
    reference = bundled_model()
    cases = {name: CASES[name] for name in DRY} if options.dry else CASES
    wanted = sampled(reference, options)
    sound = decoded(reference, wanted)
    means = encoded(reference, sound)
    found: dict[str, Any] = {}
    faults = []
    print(f"{'':16}{'latents':>10}{'decoding':>10}{'dB':>7}{'encoding':>10}")
    for name, case in cases.items():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.tf32
        model = copy.deepcopy(reference)
        model.autoencoder.to(case.dtype)
        model.transformer.to(case.dtype)
        model.to(options.device)
        distances = {
            "latents": distance(sampled(model, options), wanted),
            # From the same latents, and of the same sound.
            "decoding": distance(decoded(model, wanted), sound),
            "encoding": distance(encoded(model, sound), means),
        }
        found[name] = distances
        decibels = -20 * torch.tensor(max(distances["decoding"], 1e-12)).log10()
        print(
            f"{name:16}{distances['latents']:10.2e}{distances['decoding']:10.2e}"
            f"{float(decibels):7.1f}{distances['encoding']:10.2e}"
        )
        allowed = {"latents": case.latents, "decoding": case.sound, "encoding": case.sound}
        faults += [
            f"{name}: {part} differ by {distances[part]:.2e}, at most {most:g} is expected"
            for part, most in allowed.items()
            if not distances[part] <= most
        ]
    return found, faults


def sampled(model: LatentDiffusion, options: Options) -> Tensor:
    """Return latents of all prompts; dry, of a part of the window."""
    steps, window = (3, 0.3) if options.dry else (20, None)
    made = generate_latents(model, PROMPTS, window=window, steps=steps, seed=1, progress=False)
    return made.latents.cpu()


@torch.inference_mode()
def decoded(model: LatentDiffusion, latents: Tensor) -> Tensor:
    """Return what the model decodes, in float32 on the CPU."""
    own = model.autoencoder
    return own.decode(latents.to(own.device, own.dtype)).float().cpu()


@torch.inference_mode()
def encoded(model: LatentDiffusion, sound: Tensor) -> Tensor:
    """Return what the model encodes, in float32 on the CPU."""
    own = model.autoencoder
    return own.encode(sound.to(own.device, own.dtype)).float().cpu()


def distance(found: Tensor, wanted: Tensor) -> float:
    """Return ||found - wanted|| / ||wanted||."""
    return float((found - wanted).double().norm() / wanted.double().norm())


if __name__ == "__main__":
    sys.exit(run(parity))
