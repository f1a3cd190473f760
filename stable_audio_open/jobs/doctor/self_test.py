"""The bundled model's parts, each run once and held against stored numbers."""

import math
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import msgspec
import torch
from torch import Tensor

from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.jobs.doctor.finding import Finding
from stable_audio_open.pretrained import StableAudio

FILE = Path(__file__).parents[2] / "assets" / "tiny" / "self_test.json"
DIRECTIONS = 16
"""Random directions onto which a result is projected: what is stored of it."""
SIGMA = 10.0
PROMPT = "kick drum"
SECONDS = 0.5
TOLERANCES = {torch.float64: 1e-4, torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.2}
"""Relative distance of the projections from the stored ones, by the format of the weights."""
REMEDY = "compute in float32; if it fails there too, report it with what `doctor --json` prints"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """Results of the bundled model on a CPU in float64."""

    model: str
    """Hash of the weights, as loaded in float32."""
    projections: dict[str, list[float]]
    """Of the result of each part."""


def self_test(
    device: str | torch.device | None = None, dtype: str | torch.dtype = "float32"
) -> list[Finding]:
    """Encode a sound, take a step, decode; return one finding each.

    Args:
        device: Where to; as `load` takes it.
        dtype: Format of the weights.

    Raises:
        ValueError: The device or the format is unknown.
    """
    stored = read_stored()
    model = StableAudio.from_pretrained("tiny", device=device, dtype="float32")
    if module_hash(model) != stored.model:
        return [
            Finding(
                subject="bundled model",
                state="fault",
                detail="its weights are not those that were published",
                remedy="pip install --force-reinstall --no-deps stable-audio-open",
            )
        ]
    model = StableAudio.from_pretrained("tiny", device=device, dtype=dtype)
    coarsest = max(
        (model.transformer.dtype, model.autoencoder.dtype), key=lambda kind: TOLERANCES[kind]
    )
    tolerance = TOLERANCES[coarsest]
    findings = []
    for name, run in parts(model).items():
        begin = perf_counter()
        found = torch.tensor(project(run()))
        seconds = perf_counter() - begin
        expected = torch.tensor(stored.projections[name])
        distance = float((found - expected).norm() / expected.norm())
        detail = f"{distance:.1e} from the stored numbers (at most {tolerance:g}), {seconds:.2f} s"
        right = distance <= tolerance
        findings.append(
            Finding(
                subject=name,
                state="ok" if right else "fault",
                detail=detail,
                remedy=None if right else REMEDY,
            )
        )
    return findings


def parts(model: StableAudio) -> dict[str, Callable[[], Tensor]]:
    """Return each part of a model as a function of fixed input, not of each other's result."""
    autoencoder = model.autoencoder
    dtype = autoencoder.dtype

    def encode() -> Tensor:
        return autoencoder.encode(
            _tone(autoencoder.sample_rate, autoencoder.audio_channels).to(autoencoder.device, dtype)
        )

    def step() -> Tensor:
        denoiser = model.denoiser(PROMPT, duration=SECONDS, window=SECONDS)
        return denoiser(model.noise(0, window=SECONDS) * SIGMA, SIGMA)

    def decode() -> Tensor:
        latents = model.noise(1, window=SECONDS)
        return autoencoder.decode(latents.to(dtype))

    @torch.inference_mode()
    def run(part: Callable[[], Tensor]) -> Tensor:
        return part()

    return {
        "encode": lambda: run(encode),
        "one step": lambda: run(step),
        "decode": lambda: run(decode),
    }


def project(result: Tensor) -> list[float]:
    """Return a result's lengths along fixed random directions."""
    generator = torch.Generator().manual_seed(0)
    values = result.double().cpu().flatten()
    directions = torch.randn(DIRECTIONS, len(values), generator=generator, dtype=torch.float64)
    lengths: list[float] = (directions @ values / math.sqrt(len(values))).tolist()
    return lengths


def read_stored() -> Stored:
    """Return the stored numbers."""
    return msgspec.json.decode(FILE.read_bytes(), type=Stored)


def measure_stored() -> Stored:
    """Compute the numbers that are stored, from the bundled model in float64."""
    precise = StableAudio.from_pretrained("tiny", device="cpu", dtype="float64")
    return Stored(
        model=module_hash(StableAudio.from_pretrained("tiny", device="cpu", dtype="float32")),
        projections={name: project(run()) for name, run in parts(precise).items()},
    )


def _tone(sample_rate: int, channels: int) -> Tensor:
    """Return half a second of a falling tone with a click at its start, `[1, channels, time]`."""
    time = torch.arange(int(SECONDS * sample_rate), dtype=torch.float64) / sample_rate
    tone = 0.5 * torch.sin(2 * math.pi * 220 * time) * torch.exp(-6 * time)
    tone[0] = 0.9
    return tone.expand(1, channels, -1)
