"""The loss of the published configuration, against auraloss and by hand."""

from pathlib import Path
from typing import Any

import auraloss
import msgspec
import pytest
import torch
from torch import Tensor

from stable_audio_open.builders.training import autoencoder_task, new_autoencoder
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining

pytestmark = pytest.mark.numerical

CONFIGS = Path(__file__).parents[2] / "configs"
RATE = 44100


def task_of(name: str, small: AutoencoderModelConfig, **loss: Any) -> AutoencoderTraining:
    """A small autoencoder with the loss of a shipped configuration."""
    shipped: Any = read_config(CONFIGS / f"{name}.json").training
    training = msgspec.structs.replace(
        shipped,
        adversarial=None,
        train="all",
        initialize=None,
        loss=msgspec.structs.replace(shipped.loss, **loss),
    )
    config = msgspec.structs.replace(small, sample_rate=RATE, training=training)
    return autoencoder_task(config, training, new_autoencoder(config, training))


def sounds(seed: int, items: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(items, 2, 8192, generator=generator)


@pytest.mark.parametrize(
    "name",
    [
        "stable_audio_open_1_0/autoencoder",
        "stable_audio_open_1_0/autoencoder_decoder",
        "finetune/decoder",
    ],
)
def test_the_published_loss_is_that_of_its_parts(
    name: str, tiny_autoencoder_config: AutoencoderModelConfig
) -> None:
    """The mean of mid and side, half of left and of right, and KL; one of the items is mono."""
    task = task_of(name, tiny_autoencoder_config)
    decoded, target, kl = sounds(0), sounds(1), torch.tensor(30.0)
    target[1] = target[1].mean(dim=0)
    sizes = [2048, 1024, 512, 256, 128, 64, 32]
    settings: dict[str, Any] = {
        "fft_sizes": sizes,
        "hop_sizes": [size // 4 for size in sizes],
        "win_lengths": sizes,
        "perceptual_weighting": True,
        "sample_rate": RATE,
    }
    both = auraloss.freq.SumAndDifferenceSTFTLoss(**settings)
    alone = auraloss.freq.MultiResolutionSTFTLoss(**settings)
    items = []
    for ours, theirs in zip(decoded.split(1), target.split(1), strict=True):
        # auraloss divides by the norm of its second argument: the decoded signal's.
        left, right = (alone(theirs[:, side], ours[:, side]) for side in ([0], [1]))
        items.append(1.0 * both(theirs, ours) + 0.5 * (left + right))
    expected = torch.stack(items).mean() + 1e-4 * 30
    found = task._weighted(task._terms(decoded, target, kl))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_a_mono_recording_has_its_side_term_in_the_published_training(
    tiny_autoencoder_config: AutoencoderModelConfig,
) -> None:
    """What a decoder adds to the side of a mono recording has a loss, and a gradient."""
    mono = sounds(1)[:, :1].expand(-1, 2, -1)
    side = torch.tensor([[1.0], [-1.0]]) * 0.01 * sounds(2)[:, :1]
    for name, has_one in (("stable_audio_open_1_0/autoencoder", True), ("tiny/autoencoder", False)):
        task = task_of(name, tiny_autoencoder_config)
        width = side.clone().requires_grad_()
        term = task.loss(mono + width, mono).side
        assert (float(term.detach()) > 1) is has_one
        if has_one:
            term.backward()
            assert width.grad is not None
            assert (width.grad.abs().amax(dim=(1, 2)) > 0).all()


def test_the_mel_term_of_the_bundled_autoencoder_counts(
    tiny_autoencoder_config: AutoencoderModelConfig,
) -> None:
    """Half the amplitude is 6.02 dB in every band."""
    target, none = sounds(1), torch.zeros(())
    task = task_of("tiny/autoencoder", tiny_autoencoder_config)
    terms = task._terms(target / 2, target, none)
    decibels = float(20 * torch.tensor(2.0).log10())
    assert float(terms["mel"]) == pytest.approx(decibels, rel=1e-4)
    without = task_of("tiny/autoencoder", tiny_autoencoder_config, mel=0.0)
    plain = without._weighted(without._terms(target / 2, target, none))
    added = float(task._weighted(terms) - plain)
    assert added == pytest.approx(0.2 * decibels, rel=1e-3)
