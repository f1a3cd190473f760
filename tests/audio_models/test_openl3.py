"""OpenL3 against the same network built in Keras, whose random weights Keras itself saves."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stable_audio_open.audio_models.openl3.checkpoint import load_network, load_openl3
from stable_audio_open.audio_models.openl3.network import (
    OpenL3,
    OpenL3Spectrogram,
    one_second_windows,
)

h5py = pytest.importorskip("h5py")

pytestmark = pytest.mark.numerical
Layers = dict[str, dict[str, Tensor]]
SMALL = (4, 4, 5, 5, 6, 6, 7, 7)

# Keras converts torch's tensors in a way that numpy 2 is about to refuse.
keras_warns = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def build_in_keras(widths: tuple[int, ...], bands: int, frames: int) -> Any:
    """The layers of the published network, with random weights, up to its last convolution."""
    os.environ["KERAS_BACKEND"] = "torch"
    keras = pytest.importorskip("keras")
    layers = keras.layers
    x = inputs = keras.Input((bands, frames, 1))
    x = layers.BatchNormalization()(x)
    for number, width in enumerate(widths[:-1]):
        x = layers.Conv2D(width, 3, padding="same")(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        if number in (1, 3, 5):
            x = layers.MaxPooling2D(2, strides=2)(x)
    x = layers.Conv2D(widths[-1], 3, padding="same", name="audio_embedding_layer")(x)
    x = layers.MaxPooling2D((bands // 8, frames // 8), padding="same")(x)
    model = keras.Model(inputs, layers.Flatten()(x))
    generator = np.random.default_rng(0)
    weights = []
    for variable in model.weights:
        values = generator.normal(size=variable.shape) / np.sqrt(np.prod(variable.shape[:-1]) or 1)
        positive = variable.name in ("gamma", "moving_variance")
        weights.append(np.abs(values) + 0.5 if positive else values)
    model.set_weights(weights)
    return model


@pytest.mark.slow
@keras_warns
def test_the_published_size_is_that_of_keras(tmp_path: Path) -> None:
    path = tmp_path / "openl3_audio_mel256_env.h5"
    model = build_in_keras((64, 64, 128, 128, 256, 256, 512, 512), 256, 199)
    model.save(path)
    embedder = load_openl3(path)
    assert embedder.name.startswith("OpenL3 openl3_audio_mel256_env.h5 sha256:")
    generator = torch.Generator().manual_seed(0)
    decibels = -80 * torch.rand(1, 256, 199, generator=generator)
    wanted = model(decibels[..., None].numpy(), training=False).detach()
    assert wanted.shape == (1, 512)
    with torch.inference_mode():
        found = embedder.network(decibels)
    # Eight layers in float32, beside the largest number.
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    inputs = (1, 64, 64, 128, 128, 256, 256, 512)
    total = sum(9 * a * b + b for a, b in zip(inputs, (*inputs[1:], 512), strict=True))
    found_total = sum(p.numel() for p in embedder.network.parameters())
    assert found_total == total + 2 * sum(inputs)


def write_as_keras_2(path: Path, layers: Layers) -> None:
    """The layout of the published files: names end with ":0", lists are bytes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"input_1", *(name.encode() for name in layers)]
        file.create_group("input_1").attrs["weight_names"] = []
        for name, tensors in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{part}:0".encode() for part in tensors]
            for part, tensor in tensors.items():
                group[f"{name}/{part}:0"] = tensor.numpy()


def random_layers() -> Layers:
    generator = torch.Generator().manual_seed(0)
    layers: Layers = {}
    before = 1
    for number, width in enumerate(SMALL, start=1):
        draw = torch.rand(4, before, generator=generator) + 0.5
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        layers[f"batch_normalization_{number}"] = dict(zip(parts, draw, strict=True))
        name = f"conv2d_{number}" if number < 8 else "audio_embedding_layer"
        kernel = torch.randn(3, 3, before, width, generator=generator) / (9 * before) ** 0.5
        layers[name] = {"kernel": kernel, "bias": torch.randn(width, generator=generator)}
        before = width
    return layers


def test_both_layouts_of_a_file_hold_the_same_network(tmp_path: Path) -> None:
    path = tmp_path / "openl3_audio_mel256_music.h5"
    write_as_keras_2(path, random_layers())
    embedder = load_openl3(path)
    decibels = -80 * torch.rand(2, 16, 24, generator=torch.Generator().manual_seed(1))
    wanted = load_network(random_layers(), "here").eval()(decibels)
    torch.testing.assert_close(embedder.network(decibels), wanted)
    assert embedder(torch.zeros(1)).shape == (1, 7)


def slaney(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def test_the_spectrogram_is_its_formula() -> None:
    """Step by step in float64: frames from their beginning, magnitudes, mel bands, decibels."""
    generator = torch.Generator().manual_seed(0)
    audio = 0.1 * torch.randn(48000, generator=generator)
    audio[20000:40000] *= 1e-3
    padded = np.concatenate([audio.double().numpy(), np.zeros(2048)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    frames = np.stack([padded[242 * i :][:2048] * hann for i in range(199)])
    magnitudes = np.abs(np.fft.rfft(frames))
    edges = slaney(np.linspace(0, 15 + 27 * np.log(24) / np.log(6.4), 258))
    hertz = np.arange(1025) * 48000 / 2048
    bands = []
    for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
        triangle = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
        bands.append(magnitudes @ np.maximum(0, triangle) * 2 / (high - low))
    decibels = 10 * np.log10(np.maximum(np.stack(bands), 1e-10))
    wanted = np.maximum(decibels - decibels.max(), -80)
    found = OpenL3Spectrogram()(audio[None])[0]
    assert found.shape == (256, 199)
    torch.testing.assert_close(
        found, torch.from_numpy(wanted).float(), rtol=0, atol=2e-2
    )  # decibels; hertz of float32 mels move the narrow filters' edges
    assert found.max() == 0
    assert found.min() >= -80


def test_windows_of_a_second_every_half() -> None:
    for seconds, windows in {10: 20, 47: 94, 0.5: 1, 1: 2, 0.501: 2}.items():
        audio = torch.arange(int(48000 * seconds), dtype=torch.float32) + 1
        found = one_second_windows(audio)
        assert found.shape == (windows, 48000)
        assert not found[0, :24000].any()
        assert found[0, 24000] == 1
        assert found.max() == audio[-1]  # nothing is left over
    assert found[1, 0] == 1


def front_end(layers: Layers) -> Layers:
    return {"melspectrogram_1": {"freq2mel": torch.zeros(2, 2)}} | layers


def no_bias(layers: Layers) -> Layers:
    del layers["conv2d_3"]["bias"]
    return layers


def other_width(layers: Layers) -> Layers:
    layers["batch_normalization_3"]["gamma"] = torch.ones(3)
    return layers


def shorter(layers: Layers) -> Layers:
    del layers["audio_embedding_layer"]
    return layers


def longer(layers: Layers) -> Layers:
    return layers | {"dense": {"kernel": torch.zeros(2, 2)}}


def whole_numbers(layers: Layers) -> Layers:
    layers["conv2d_3"]["bias"] = layers["conv2d_3"]["bias"].to(torch.int64)
    return layers


def not_finite(layers: Layers) -> Layers:
    layers["conv2d_3"]["bias"][1] = torch.nan
    return layers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (front_end, "layer 1, melspectrogram_1, has freq2mel, where OpenL3 has gamma, beta, mov"),
        (no_bias, "layer 6, conv2d_3, has kernel, where OpenL3 has kernel, bias; download openl3_"),
        (other_width, r"batch_normalization_3/gamma has the shape \[3\] .* OpenL3 has \[4\]"),
        (shorter, "15 layers, where OpenL3 has 16"),
        (longer, "layer 17, dense, has kernel, where OpenL3 has no such layer"),
        (whole_numbers, "conv2d_3/bias is of the type int64; allowed: "),
        (not_finite, "convolutions.2.bias holds NaN; allowed: "),
    ],
)
def test_another_network_is_refused(change: Callable[[Layers], Layers], message: str) -> None:
    with pytest.raises(ValueError, match=f"^here: {message}"):
        load_network(change(random_layers()), "here")


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "openl3_audio_mel256_env.h5"
    with pytest.raises(ValueError, match=r"env\.h5: no such file; download openl3_audio_mel256_e"):
        load_openl3(path)
    path.write_bytes(gzip.compress(b"weights"))
    with pytest.raises(ValueError, match=r"env\.h5: cannot be read as weights of Keras"):
        load_openl3(path)
    with h5py.File(path, "w") as file:
        file["layers"] = [1]
    with pytest.raises(ValueError, match=r"of Keras \(it has no list layer_names\)"):
        load_openl3(path)
    path = path.rename(tmp_path / "openl3_audio_mel128_env.h5")
    with pytest.raises(ValueError, match="mel128 weights by their name, where mel256 is read"):
        load_openl3(path)


def test_the_network_has_the_layers_of_the_paper() -> None:
    with torch.device("meta"):
        network = OpenL3()
    assert [c.out_channels for c in network.convolutions] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert network(torch.zeros(2, 256, 199, device="meta")).shape == (2, 512)
