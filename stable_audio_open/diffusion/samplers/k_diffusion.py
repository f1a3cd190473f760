"""Any sampler of the k-diffusion package by its name; the one file that imports it."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.nearest import nearest
from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise, required
from stable_audio_open.diffusion.samplers.sampler import (
    Callback,
    Sampler,
    from_pure_noise,
    step_pairs,
)

PREFIX = "k-diffusion:"
ADAPTIVE = "dpm_adaptive"
"""The sampler that is told the precision, not the number of steps."""


def k_diffusion_samplers() -> dict[str, Callable[..., Tensor]]:
    """k-diffusion's functions sample_NAME by NAME.

    Raises:
        ValueError: If the package is not installed or cannot be imported.
    """
    try:
        with warnings.catch_warnings():  # of packages that k-diffusion pulls in
            warnings.simplefilter("ignore")
            from k_diffusion import sampling
    except ImportError as error:
        cause = str(error).partition("\n")[0]
        raise ValueError(
            f"samplers named {PREFIX}NAME need the k-diffusion extra ({cause}): "
            f'pip install "stable-audio-open[k-diffusion]"'
        ) from error
    functions = inspect.getmembers(sampling, inspect.isfunction)
    return {
        name.removeprefix("sample_"): function
        for name, function in functions
        if name.startswith("sample_")
    }


def check_items(sampler: str, items: int) -> None:
    """Check that a sampler, of k-diffusion or another, makes so many items at once.

    Raises:
        ValueError: The steps of all would depend on each.
    """
    name = sampler.replace("-", "_").removeprefix(PREFIX.replace("-", "_"))
    if name == ADAPTIVE and items > 1:
        raise ValueError(
            f'sampler "{PREFIX}{ADAPTIVE}" chooses its steps by the error of the whole batch: a '
            f"sound would depend on its neighbours; give it one item at a time, got {items}, or "
            "use another sampler"
        )


def k_diffusion_sampler(name: str) -> Sampler:
    """k-diffusion's sampler sample_NAME as one of ours; further keywords are passed on to it.

    It converts sigma to a tensor and back, so every evaluation waits for the device. The two that
    choose their own noise levels (dpm_fast, dpm_adaptive) get the first and the last level above 0,
    and the number of evaluations where they want it; the last step to 0 is added here. dpm_adaptive
    goes by the error norm of all items together, and takes a batch of one alone.

    Raises:
        ValueError: If k-diffusion is missing or has no such sampler.
    """
    functions = k_diffusion_samplers()
    if name not in functions:
        near = nearest(name, functions)
        hint = f'; did you mean "{PREFIX}{near}"? It has' if near else "; it has"
        raise ValueError(f'k-diffusion has no sampler "{name}"{hint}: {", ".join(functions)}')
    function = functions[name]
    parameters = inspect.signature(function).parameters

    @from_pure_noise
    def sample(
        denoiser: Denoiser,
        x: Float[Tensor, "batch channels time"],
        sigmas: Sequence[float],
        *,
        noise: Noise | None = None,
        callback: Callback | None = None,
        **keywords: Any,
    ) -> Float[Tensor, "batch channels time"]:
        steps = len(step_pairs(sigmas))

        def model(x: Tensor, sigma: Tensor) -> Tensor:
            return denoiser(x, float(sigma[0]))

        def report(info: Mapping[str, Any]) -> None:
            if callback is not None:
                callback(min(info["i"], steps - 1), steps, info["denoised"])

        if "noise_sampler" in parameters:
            eta = keywords.get("eta", parameters["eta"].default)
            keywords["noise_sampler"] = _noise_sampler(
                required(noise, PREFIX + name) if eta else None
            )
        arguments = {"callback": report, "disable": True, **keywords}
        if "sigmas" in parameters:
            levels = torch.tensor(list(sigmas), dtype=x.dtype, device=x.device)
            return function(model, x, levels, **arguments)
        above = [sigma for sigma in sigmas if sigma > 0]
        if len(above) < 2:
            raise ValueError(f'sampler "{PREFIX}{name}" needs at least 2 steps, got {steps}')
        if "n" in parameters:
            arguments["n"] = len(above) - 1
        check_items(PREFIX + name, len(x))
        x = function(model, x, sigma_min=above[-1], sigma_max=above[0], **arguments)
        return x if sigmas[-1] > 0 else denoiser(x, above[-1])

    return sample


def _noise_sampler(noise: Noise | None) -> Callable[[Tensor, Tensor], Tensor | float]:
    """The noise as k-diffusion asks for it; None adds none."""
    if noise is None:
        return lambda sigma, sigma_next: 0.0  # noqa: ARG005, k-diffusion's signature
    return lambda sigma, sigma_next: noise(float(sigma), float(sigma_next))
