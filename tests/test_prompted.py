"""Loops of one's own: the denoiser of a prompt, noise levels and noise."""

import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.samplers.euler import euler
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.pretrained import StableAudio, load

pytestmark = pytest.mark.numerical

EXAMPLE = Path(__file__).parents[1] / "examples" / "k_diffusion_loop.py"


@pytest.fixture
def model(tiny_model_folder: Path) -> StableAudio:
    found = load(tiny_model_folder, device="cpu")
    assert isinstance(found, StableAudio)
    return found


GIVEN: dict[str, Any] = {"duration": 0.5, "guidance_scale": 3.0, "negative_prompt": "bell"}


def test_a_loop_of_ones_own_gives_what_generate_gives(model: StableAudio) -> None:
    expected = model.generate(
        ["deep kick", "bass"], steps=4, seed=5, sampler="euler", progress=False, **GIVEN
    )
    denoiser = model.denoiser(["deep kick", "bass"], **GIVEN)
    sigmas = model.sigmas(4)
    x = model.noise(5, count=2) * sigmas[0]
    with torch.no_grad():
        for sigma, after in itertools.pairwise(sigmas):
            slope = (x - denoiser(x, sigma.expand(2))) / sigma
            x = x + slope * (after - sigma)
        samples = model.autoencoder.decode(x)[..., : expected.samples.shape[-1]]
    scale = float(expected.samples.abs().max())
    torch.testing.assert_close(samples, expected.samples, rtol=0, atol=1e-4 * scale)
    assert torch.equal(model.noise([5, 6]), model.noise(5, count=2))


def test_a_number_is_taken_for_the_level_too(model: StableAudio) -> None:
    denoiser = model.denoiser("deep kick")
    x = model.noise(1) * 3
    with torch.no_grad():
        assert torch.equal(denoiser(x, 3.0), denoiser(x, torch.tensor([3.0])))


def test_gradients_go_through_the_denoiser(model: StableAudio) -> None:
    x = model.noise(1).requires_grad_()
    model.denoiser("deep kick", guidance_scale=2.0)(x, 1.0).square().sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().max()) > 0


def test_levels_are_those_of_the_schedule(model: StableAudio) -> None:
    sigmas = model.sigmas(10, schedule="karras", sigma_max=80.0)
    assert sigmas.shape == (11,)
    assert sigmas.dtype == torch.float32
    assert float(sigmas[0]) == pytest.approx(80)
    assert float(sigmas[-1]) == 0
    assert len(model.sigmas()) == 101


def test_a_window_of_its_own(model: StableAudio) -> None:
    x = model.noise(1, window=0.5)
    assert x.shape[-1] == 250
    with torch.no_grad():
        found = model.denoiser("deep kick", window=0.5)(x, 1.0)
    assert found.shape == x.shape


@pytest.mark.parametrize(
    ("items", "sigma", "message"),
    [
        (3, 1.0, "the denoiser is that of 2 prompts, got 3 items"),
        (2, torch.tensor([1.0, 2.0]), "all items must have one noise level, got [1.0, 2.0]"),
    ],
)
def test_calls_that_cannot_be_answered(
    model: StableAudio, items: int, sigma: float | Tensor, message: str
) -> None:
    denoiser = model.denoiser(["deep kick", "bell"])
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the whole message is compared
        denoiser(model.noise(1, count=items), sigma)
    assert str(caught.value) == message


def test_our_samplers_take_it_as_well(model: StableAudio) -> None:
    sigmas = model.sigmas(3).tolist()
    with torch.no_grad():
        latents = euler(model.denoiser("deep kick"), model.noise(2) * sigmas[0], sigmas)
    assert latents.isfinite().all()


@pytest.mark.skipif(
    importlib.util.find_spec("k_diffusion") is None, reason="needs the k-diffusion extra"
)
@pytest.mark.slow
def test_the_example_equals_generate(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) < 1e-5
    assert (tmp_path / "own_loop.wav").is_file()


def test_a_plain_model_will_do(random_model: LatentDiffusion) -> None:
    from stable_audio_open.prompted import denoiser, noise

    with torch.no_grad():
        assert denoiser(random_model, "kick")(noise(random_model, 1), 2.0).isfinite().all()
