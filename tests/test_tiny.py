"""The bundled model."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import stable_audio_open
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.checkpoint.bundled import BUNDLED
from stable_audio_open.config.read import model_part, read_config
from stable_audio_open.pretrained import StableAudio

pytestmark = pytest.mark.numerical

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tiny() -> StableAudio:
    return StableAudio.from_pretrained("tiny", device="cpu")


def test_it_weighs_at_most_16_megabytes_in_half_precision() -> None:
    files = list(BUNDLED["tiny"].rglob("*.safetensors"))
    assert len(files) == 2
    assert sum(file.stat().st_size for file in files) <= 16_000_000
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            wide = [n for n in tensors.keys() if tensors.get_slice(n).get_dtype() != "F16"]  # noqa: SIM118
        assert all("features" in name or "inverse_frequencies" in name for name in wide), wide


def test_its_configuration_is_the_one_that_trains_it(tiny: StableAudio) -> None:
    trained = model_part(read_config(ROOT / "configs" / "tiny" / "diffusion.json"))
    assert trained == tiny.config


def test_two_seconds_are_two_seconds_and_repeat_bitwise(tiny: StableAudio) -> None:
    first, again = (
        tiny.generate("drum snare hard", duration=2.0, steps=5, seed=3, progress=False)
        for _ in range(2)
    )
    assert first.samples.shape == (1, 2, 88200)
    assert torch.equal(first.samples, again.samples)


def test_the_trained_decoder_is_nearer_than_an_untrained_one(tiny: StableAudio) -> None:
    """A decaying tone: neither a recording of the training set nor hard."""
    time = torch.arange(44100) / 44100
    audio = (0.5 * (-6 * time).exp() * (2 * torch.pi * 220 * time).sin()).expand(1, 2, -1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = build_autoencoder(tiny.config).eval()

    def distance(autoencoder: torch.nn.Module) -> float:
        with torch.inference_mode():
            decoded = autoencoder.decode(autoencoder.encode(audio))[..., :44100]  # type: ignore[operator]
        window = torch.hann_window(1024)
        spectra = [
            torch.stft(x[0], 1024, 256, window=window, return_complex=True).abs().clamp(min=1e-4)
            for x in (decoded, audio)
        ]
        return float((spectra[0].log() - spectra[1].log()).abs().mean())

    assert distance(tiny.autoencoder) < 0.7 * distance(untrained)


def test_the_card_holds_what_was_measured() -> None:
    card = (BUNDLED["tiny"] / "README.md").read_text()
    measured = json.loads((BUNDLED["tiny"] / "measured.json").read_text())
    assert "CC0" in card
    for name in ("stft_mean", "mel_mean", "si_sdr_mean"):
        assert str(measured["reconstruction"][name]) in card
        assert str(measured["reconstruction_untrained"][name]) in card
    assert str(measured["adherence"]["share"]) in card
    assert str(measured["adherence"]["chance"]) in card


def test_it_is_what_load_gives() -> None:
    assert isinstance(stable_audio_open.load("tiny", device="cpu"), StableAudio)
