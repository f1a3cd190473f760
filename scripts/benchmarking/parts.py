"""Each part of the benchmark, from the options to its entry in the report."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmarking.comparison import Peers, compare
from benchmarking.peers import DecodePeers, EncodePeers, StepPeers
from benchmarking.sizes import SIZES, autoencoder_config, diffusion_config
from benchmarking.timing import interleave, peak_bytes_of, ratios
from stable_audio_open.checkpoint.weights.precision import DTYPES
from stable_audio_open.config.model import DiffusionModelConfig

PEERS: Mapping[str, Callable[..., Peers]] = {
    "step": StepPeers,
    "decode": DecodePeers,
    "encode": EncodePeers,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured, and how often; the command's options under the same names."""

    size: str
    device: str
    dtype: str
    depth: int | None
    frames: int | None
    batch: int | None
    crop_frames: int | None
    model: str
    duration: float
    steps: int
    warmup: int
    repeats: int
    calls: int
    threads: int | None
    seed: int

    @property
    def config(self) -> DiffusionModelConfig:
        """Configuration of the model that is measured."""
        return diffusion_config(
            self.size, depth=self.depth, frames=self.frames, batch=self.batch, seed=self.seed
        )

    @property
    def rounds(self) -> dict[str, int]:
        """How often."""
        return {"warmup": self.warmup, "repeats": self.repeats}

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type that `dtype` names."""
        return DTYPES[self.dtype]


def measure(part: str, settings: Settings) -> dict[str, Any]:
    """Return the entries of a part in the report, by name.

    Raises:
        OutputsDifferError: When the two sides of a part do not compute the same.
        ValueError: When a setting does not fit the model.
    """
    measured: dict[str, Any]
    match part:
        case "generate":
            measured = {"generate": _measure_generate(settings)}
        case "training":
            measured = _measure_training(settings)
        case _:
            config = settings.config
            peers = PEERS[part](
                config,
                frames=config.window_samples // config.autoencoder.downsampling,
                device=torch.device(settings.device),
                seed=settings.seed,
            )
            measured = {part: measure_peers(peers, settings)}
            del peers
    gc.collect()
    if settings.device == "cuda":
        torch.cuda.empty_cache()
    return measured


def measure_peers(peers: Peers, settings: Settings) -> dict[str, Any]:
    """Compare the outputs of both sides; where they agree, time the sides in turns.

    Raises:
        OutputsDifferError: Where they do not.
    """
    device = torch.device(settings.device)
    agreement = compare(peers, settings.torch_dtype)
    sides = {"diffusers": peers.diffusers, "stable_audio_open": peers.ours}
    peaks = {name: peak_bytes_of(call, device=device) for name, call in sides.items()}
    times = interleave(sides, device=device, calls=settings.calls, **settings.rounds)
    return {
        "shape": peers.shape,
        "parameters": peers.parameters,
        "agreement": agreement,
        "amount": peers.amount,
        "unit": peers.unit,
        **{name: times[name].to_json() | {"peak_bytes": peaks[name]} for name in sides},
        "ratio": ratios(times["diffusers"], times["stable_audio_open"]).to_json(),
    }


def _measure_generate(settings: Settings) -> dict[str, Any]:
    from benchmarking.generation import GenerationBenchmark

    request = GenerationBenchmark(
        model=settings.model,
        duration=settings.duration,
        steps=settings.steps,
        device=torch.device(settings.device),
        dtype=settings.dtype,
        threads=settings.threads,
        seed=settings.seed,
    )
    return request.run(**settings.rounds)


def _measure_training(settings: Settings) -> dict[str, Any]:
    from benchmarking.training import time_autoencoder, time_transformer

    autoencoder = autoencoder_config(
        settings.size,
        crop_frames=settings.crop_frames,
        batch=settings.batch,
        seed=settings.seed,
    )
    where: dict[str, Any] = {
        "device": torch.device(settings.device),
        "dtype": settings.torch_dtype,
        **settings.rounds,
    }
    return {
        **time_autoencoder(autoencoder, **where),
        "training transformer": time_transformer(settings.config, SIZES[settings.size], **where),
    }
