"""Folders of varied sounds, made from formulas."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

RATE = 16000
SOUNDS = 24
Change = Callable[[Tensor, torch.Generator], Tensor]


def sound(index: int) -> Tensor:
    """Stereo, 2.9 s (the first four 3.5): chords, plucked notes, beats and noise in many shapes."""
    generator = torch.Generator().manual_seed(index)
    time = torch.arange(round((3.5 if index < 4 else 2.9) * RATE)) / RATE
    pitch = 80 * 2 ** (index / 5)
    beat = 0.2 + 0.05 * (index % 7)
    decay = torch.exp(-(time % beat) * (4 + index % 5))
    partials = range(1, 2 + index % 6)
    tone = sum(torch.sin(2 * math.pi * pitch * n * time) / n for n in partials)
    assert isinstance(tone, Tensor)
    noise = torch.randn(len(time), generator=generator)
    body = [tone, tone * decay, noise * decay, 0.5 * tone + 0.5 * noise * decay][index % 4]
    left = body / body.abs().max() * 0.5
    right = left.roll(index * 7)
    return torch.stack([left, right])


def write(folder: Path, change: Change = lambda audio, generator: audio) -> Path:
    """Write all sounds, each changed in the same way."""
    folder.mkdir()
    for index in range(SOUNDS):
        generator = torch.Generator().manual_seed(1000 + index)
        audio = change(sound(index), generator)
        soundfile.write(folder / f"sound_{index:02}.wav", audio.T.numpy(), RATE, subtype="FLOAT")
    return folder


def low_pass(audio: Tensor, generator: torch.Generator) -> Tensor:
    """Nothing above 1 kHz."""
    spectrum = torch.fft.rfft(audio)
    spectrum[:, spectrum.shape[1] * 1000 * 2 // RATE :] = 0
    return torch.fft.irfft(spectrum, n=audio.shape[1])


def noisy(audio: Tensor, generator: torch.Generator) -> Tensor:
    """White noise 3 dB below."""
    noise = torch.randn(audio.shape, generator=generator)
    return audio + noise * audio.square().mean().sqrt() * 0.7


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sounds as they are, and spoilt in three ways."""
    root = tmp_path_factory.mktemp("sounds")
    return {
        "same": write(root / "same"),
        "low-passed": write(root / "low-passed", low_pass),
        "noisy": write(root / "noisy", noisy),
        "silent": write(root / "silent", lambda audio, generator: 0 * audio),
    }
