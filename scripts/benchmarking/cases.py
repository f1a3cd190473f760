"""The cases that the sides share: what a call of each does, for a reader and for the roofline."""

from dataclasses import dataclass

from benchmarking.shared import SharedModel

CASES = (
    "load",
    "text",
    "step",
    "decode",
    "encode",
    "clip",
    "train-transformer",
    "train-autoencoder",
)
TRAINING = ("train-transformer", "train-autoencoder")
"""These leave other weights behind, and take them in float32."""
LOADS = 3
"""Rounds of loading, at most."""


@dataclass(frozen=True)
class Work:
    """What one call does."""

    shape: str
    amount: float
    unit: str
    """Of `amount` per second."""
    parameters: int


def frames_of(shared: SharedModel) -> int:
    """Return the latent frames of the window."""
    return shared.config.window_samples // shared.config.autoencoder.downsampling


def work(case: str, shared: SharedModel, *, frames: int, steps: int) -> Work:
    """Return what a call of a case does.

    Args:
        case: One of `CASES`.
        shared: The model.
        frames: Latent frames of its input.
        steps: Sampling steps of a clip.
    """
    config = shared.config
    seconds = frames * config.autoencoder.downsampling / config.sample_rate
    depth = f"depth {config.transformer.depth}"
    parameters = shared.parameters[case]
    match case:
        case "load":
            return Work("files in the system's cache", parameters / 1e9, "billion/s", parameters)
        case "text":
            return Work("one prompt and its seconds", 1.0, "prompts/s", parameters)
        case "step":
            return Work(f"batch 2 x {frames} frames, {depth}", 1.0, "steps/s", parameters)
        case "clip":
            shape = f"{seconds:.2f} s of audio, {steps} steps, {depth}"
            return Work(shape, seconds, "x real time", parameters)
        case "decode" | "encode":
            shape = f"{frames} frames, {seconds:.2f} s of audio"
            return Work(shape, seconds, "x real time", parameters)
        case "train-transformer":
            return Work(f"batch 1 x {frames} frames, {depth}", 1.0, "steps/s", parameters)
    samples = frames * config.autoencoder.downsampling
    return Work(f"batch 1 x {samples} samples", 1.0, "steps/s", parameters)
