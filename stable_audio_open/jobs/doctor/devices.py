"""Where there is something to compute on: memory, number formats, attention, and what fits."""

from collections.abc import Callable
from time import perf_counter

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from stable_audio_open.checkpoint.weights.precision import DTYPES
from stable_audio_open.evaluation.speed import machine_name
from stable_audio_open.jobs.doctor.finding import Finding
from stable_audio_open.nn.attention import flash_installed
from stable_audio_open.nn.device import fast_dtype, find_device

GIB = 2**30
TEXT_ENCODER = 109_628_544
"""Parameters of T5-base's encoder, which is loaded in float32."""
MODELS = {"stable-audio-open-1.0": 1_213_448_210, "stable-audio-open-small": 497_239_458}
"""Numbers in the published weights, the text encoder not counted."""
WORK = 2 * GIB
"""Beyond the weights: an estimate for one sound of a whole window, decoded in chunks."""
TOO_FAR = 0.05
"""Relative distance from float32 above which a number format is not taken to work."""
PRODUCT = 1024
"""Rows and columns of the product that is timed."""


def devices() -> list[torch.device]:
    """Return what is here, the one first that is taken when none is named."""
    found = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append(torch.device("mps"))
    return [*found, torch.device("cpu")]


def device_findings() -> list[Finding]:
    """Return memory, formats and what fits, for each device."""
    first = find_device(None).type
    findings = []
    for device in devices():
        taken = ", taken when no device is named" if device.type == first else ""
        memory = free_memory(device)
        findings += [
            Finding(
                subject=str(device),
                state="ok",
                detail=f"{machine_name(device)}, {memory / GIB:.1f} GiB free{taken}",
            ),
            Finding(subject=f"{device} dtypes", state="ok", detail=_formats(device)),
            *(fit(name, device, memory) for name in MODELS),
        ]
    return findings


def attention_findings() -> list[Finding]:
    """Return one finding for each implementation of attention."""
    fused = Finding(
        subject="attention sdpa",
        state="ok",
        detail="PyTorch's, which is taken unless another is named",
    )
    if flash_installed():
        flash = Finding(subject="attention flash", state="ok", detail="the flash-attn package")
    else:
        flash = Finding(
            subject="attention flash",
            state="missing",
            detail="the flash-attn package is not installed",
            remedy='pip install "stable-audio-open[flash]" (built with nvcc)',
        )
    return [fused, flash]


def free_memory(device: torch.device) -> int:
    """Return the bytes that can be had on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return int(psutil.virtual_memory().available)


def try_format(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why what a model does cannot be done in a number format; None when it can.

    Tried are a convolution, a product, a normalisation and attention, each against float32.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 64, generator=generator)
    weight = torch.randn(8, 8, 3, generator=generator) / 5

    def run(kind: torch.dtype) -> Tensor:
        a, w = x.to(device, kind), weight.to(device, kind)
        y = F.layer_norm(F.conv1d(a, w, padding=1), (64,))
        return F.scaled_dot_product_attention(y[None], y[None], (y @ y.mT @ y)[None])

    try:
        found = run(dtype).float().cpu()
    except (RuntimeError, TypeError) as error:
        return str(error).splitlines()[0]
    expected = run(torch.float32).cpu()
    distance = float((found - expected).norm() / expected.norm())
    return None if distance <= TOO_FAR else f"results differ from float32 by {distance:.0%}"


def _formats(device: torch.device) -> str:
    """List the formats that work, each with its speed as a part of float32's."""
    alone = _seconds(device, torch.float32)
    fast, words = fast_dtype(device), []
    for name, dtype in DTYPES.items():
        reason = try_format(device, dtype)
        if reason is not None:
            words.append(f"{name} no ({reason})")
        else:
            speed = f"{alone / _seconds(device, dtype):.2g} x its speed"
            facts = [] if dtype == torch.float32 else [speed]
            if dtype == fast:
                facts.append(
                    "auto takes it"
                    if dtype == torch.float32
                    else "auto takes it, but for the autoencoder"
                )
            words.append(f"{name} ({', '.join(facts)})" if facts else name)
    return ", ".join(words)


def _seconds(device: torch.device, dtype: torch.dtype, *, repeats: int = 3) -> float:
    """Time a product of matrices, the fastest of several."""
    matrix = torch.ones(PRODUCT, PRODUCT, device=device, dtype=dtype)
    finish: dict[str, Callable[[], None]] = {
        "cuda": torch.cuda.synchronize,
        "mps": torch.mps.synchronize,
    }

    def once() -> float:
        begin = perf_counter()
        torch.mm(matrix, matrix)
        finish.get(device.type, lambda: None)()
        return perf_counter() - begin

    once()
    return min(once() for _ in range(repeats))


def fit(name: str, device: torch.device, memory: int) -> Finding:
    """Say in which formats a published model fits."""
    needs = {
        kind: MODELS[name] * size + TEXT_ENCODER * 4 + WORK
        for kind, size in {"float32": 4, "bfloat16": 2}.items()
    }
    words = ", ".join(f"{kind} about {need / GIB:.1f} GiB" for kind, need in needs.items())
    fits = [kind for kind, need in needs.items() if need <= memory]
    subject = f"{device} {name}"
    if "float32" in fits:
        return Finding(subject=subject, state="ok", detail=f"fits ({words})")
    if fits:
        return Finding(
            subject=subject,
            state="warning",
            detail=f"fits in bfloat16 alone ({words})",
            remedy="--dtype bfloat16",
        )
    return Finding(
        subject=subject,
        state="warning",
        detail=f"does not fit ({words}; {memory / GIB:.1f} GiB are free)",
        remedy="free memory, or take a smaller model",
    )
