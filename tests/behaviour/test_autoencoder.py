"""Behaviours 1 and 2: the variational bottleneck, Snake and the residual unit."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.autoencoder.oobleck import ResidualUnit
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.nn.snake import Snake

pytestmark = pytest.mark.numerical


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


@pytest.fixture
def autoencoder(randomise: Callable[..., None]) -> AudioAutoencoder:
    """Four samples a latent, three latent channels; the last has hardly any spread."""
    model = AudioAutoencoder(
        encoder=nn.Conv1d(2, 6, 4, stride=4),
        decoder=nn.ConvTranspose1d(3, 2, 4, stride=4),
        sample_rate=100,
        audio_channels=2,
        latent_channels=3,
        downsampling=4,
    )
    randomise(model)
    model.encoder.state_dict()["bias"][5] = -20.0
    return model


def parameters(model: AudioAutoencoder, audio: Tensor) -> tuple[Tensor, Tensor]:
    """Means and standard deviations, from the output of the encoder."""
    out = model.encoder(audio)
    mean, scale = out[:, :3], out[:, 3:]
    return mean, (1 + scale.exp()).log() + 1e-4


def test_01_latents_are_the_mean_or_mean_plus_std_times_noise(
    autoencoder: AudioAutoencoder,
) -> None:
    audio = normal(2, 2, 20)
    mean, std = parameters(autoencoder, audio)
    noise = torch.randn(mean.shape, generator=seeded(3), dtype=torch.float64)
    torch.testing.assert_close(autoencoder.encode(audio), mean)
    sampled = autoencoder.encode(audio, sample=True, generator=seeded(3))
    torch.testing.assert_close(sampled, mean + std * noise)


def test_01_kl_is_summed_over_channels_then_averaged_without_a_half(
    autoencoder: AudioAutoencoder,
) -> None:
    audio = normal(2, 2, 20)
    mean, std = parameters(autoencoder, audio)
    terms = mean**2 + std**2 - (std**2).log() - 1
    expected = sum(terms[b, :, t].sum() for b in range(2) for t in range(5)) / 10
    torch.testing.assert_close(autoencoder.posterior(audio).kl(), expected)


def test_01_latents_are_not_scaled(
    autoencoder: AudioAutoencoder, published: DiffusionModelConfig
) -> None:
    latents = normal(2, 3, 5)
    torch.testing.assert_close(autoencoder.decode(latents), autoencoder.decoder(latents))
    with torch.device("meta"):
        assert build_autoencoder(published).scale == 1.0


def snake(x: Tensor, module: Snake) -> Tensor:
    alpha, beta = module.alpha[:, None], module.beta[:, None]
    return x + torch.sin(torch.exp(alpha) * x) ** 2 / (torch.exp(beta) + 1e-9)


def test_02_snake_is_its_formula_with_logarithmic_parameters(
    randomise: Callable[..., None],
) -> None:
    module = Snake(channels=4)
    assert module.alpha.tolist() == module.beta.tolist() == [0.0] * 4
    randomise(module)
    with torch.no_grad():
        module.beta[3] = -22.0  # where the 1e-9 counts
    x = normal(2, 4, 50)
    torch.testing.assert_close(module(x), snake(x, module))


def weight(layer: nn.Conv1d) -> Tensor:
    """The weight of a weight-normalised convolution."""
    stored: dict[str, Tensor] = layer.state_dict()
    norm, direction = (stored[f"parametrizations.weight.original{i}"] for i in (0, 1))
    length = torch.stack([row.square().sum().sqrt() for row in direction])
    return norm * direction / length[:, None, None]


@pytest.mark.parametrize("dilation", [1, 3, 9])
def test_02_residual_unit_adds_its_layers_to_its_input_activation_first(
    randomise: Callable[..., None], dilation: int
) -> None:
    unit = ResidualUnit(channels=3, dilation=dilation)
    randomise(unit)
    x = normal(2, 3, 40)
    hidden = F.conv1d(
        snake(x, unit.snake1),
        weight(unit.conv1),
        unit.conv1.bias,
        dilation=dilation,
        padding=3 * dilation,
    )
    hidden = F.conv1d(snake(hidden, unit.snake2), weight(unit.conv2), unit.conv2.bias)
    torch.testing.assert_close(unit(x), x + hidden)
