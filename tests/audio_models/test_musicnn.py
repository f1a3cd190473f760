import re
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from stable_audio_open.audio_models.embedder import recording_vector
from stable_audio_open.audio_models.musicnn.network import (
    Musicnn,
    MusicnnEmbedder,
    MusicnnTagger,
    load_musicnn,
    load_tensors,
)
from stable_audio_open.audio_models.registry import EMBEDDERS
from tests.needs import needs_musicnn

pytestmark = pytest.mark.numerical

SIZES = {"tags": 5, "bands": 20, "timbral": 6, "temporal": 3, "middle": 4, "dense": 7}
WIDTH = 2 * 6 + 3 * 3
POOLED = 2 * (WIDTH + 3 * 4)


def tensorflow_tensors() -> dict[str, Tensor]:
    """Random tensors under TensorFlow's names, in its layout."""
    kernels = {
        "conv2d": (7, 8, 1, 6),
        "conv2d_1": (7, 14, 1, 6),
        "conv2d_2": (128, 1, 1, 3),
        "conv2d_3": (64, 1, 1, 3),
        "conv2d_4": (32, 1, 1, 3),
        "conv2d_5": (7, WIDTH, 1, 4),
        "conv2d_6": (7, 4, 1, 4),
        "conv2d_7": (7, 4, 1, 4),
        "dense": (POOLED, 7),
        "dense_1": (7, 5),
    }
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    tensors = {"beta1_power": draw(), "dense/kernel/Adam": draw(POOLED, 7)}
    for name, shape in kernels.items():
        tensors[f"{name}/kernel"] = draw(*shape) / np.prod(shape[:-1]) ** 0.5
        tensors[f"{name}/bias"] = draw(shape[-1])
    for number, size in enumerate((1, 6, 6, 3, 3, 3, 4, 4, 4, POOLED, 7)):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        for part in ("gamma", "beta", "moving_mean"):
            tensors[f"{name}/{part}"] = draw(size)
        tensors[f"{name}/moving_variance"] = draw(size).abs() + 0.5
    return tensors


def transcription(tensors: dict[str, Tensor], patch: np.ndarray) -> np.ndarray:
    """One patch [time, bands] to logits, step by step in float64."""
    t = {name: tensor.double().numpy() for name, tensor in tensors.items()}

    def norm(x: np.ndarray, number: int) -> np.ndarray:
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        spread = np.sqrt(t[f"{name}/moving_variance"] + 1e-3)
        return (x - t[f"{name}/moving_mean"]) / spread * t[f"{name}/gamma"] + t[f"{name}/beta"]

    def convolve(x: np.ndarray, number: int, before: int, behind: int) -> np.ndarray:
        name = f"conv2d_{number}" if number else "conv2d"
        kernel = t[f"{name}/kernel"][:, :, 0]
        x = np.pad(x, ((before, behind), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2])
        out = np.einsum("tbij,ijf->tbf", windows, kernel) + t[f"{name}/bias"]
        return norm(np.maximum(out, 0), number + 1)  # [time, bands, filters]

    x = norm(patch[..., None], 0)[..., 0]
    padding = [(3, 3), (3, 3), (63, 64), (31, 32), (15, 16)]
    front = np.concatenate(
        [convolve(x, n, *pads).max(axis=1) for n, pads in enumerate(padding)], axis=1
    )
    middle = [convolve(front, 5, 3, 3)[:, 0]]
    for number in (6, 7):
        middle.append(middle[-1] + convolve(middle[-1], number, 3, 3)[:, 0])
    features = np.concatenate([front, *middle], axis=1)
    pooled = np.stack([features.max(axis=0), features.mean(axis=0)], axis=1).reshape(-1)
    dense = norm(pooled, 9) @ t["dense/kernel"] + t["dense/bias"]
    return norm(np.maximum(dense, 0), 10) @ t["dense_1/kernel"] + t["dense_1/bias"]


def test_the_network_is_its_transcription() -> None:
    network = Musicnn(**SIZES).eval()
    tensors = tensorflow_tensors()
    load_tensors(network, tensors, "here")
    patches = torch.randn(2, 187, 20, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = network(patches)
    wanted = np.stack([transcription(tensors, patch.double().numpy()) for patch in patches])
    torch.testing.assert_close(found, torch.from_numpy(wanted).float(), rtol=1e-4, atol=1e-4)


def test_every_tensor_is_accounted_for() -> None:
    network = Musicnn(**SIZES)
    tensors = tensorflow_tensors()
    for changes, message in [
        ({"conv2d_8/bias": torch.zeros(4)}, "here: missing or not of musicnn: middle.3.conv.bias"),
        ({"embedding": torch.zeros(4)}, "here: missing or not of musicnn: .embedding"),
        ({"dense_1/bias": torch.zeros(4)}, r"here: tags.bias is \[4\], but the network has \[5\]"),
        ({"dense_1/bias": torch.zeros(5, dtype=torch.int8)},
         r"here: tags\.bias is of the type int8; allowed: .*"),
        ({"dense_1/bias": torch.full((5,), torch.nan)}, r"here: tags\.bias holds NaN; allowed: .*"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"^{message}$"):
            load_tensors(network, tensors | changes, "here")
    del tensors["batch_normalization_10/gamma"]
    with pytest.raises(ValueError, match=r"^here: missing or not of musicnn: dense_norm\.weight$"):
        load_tensors(network, tensors, "here")


def test_a_frame_for_each_patch_that_begins() -> None:
    names = ("drums", "quiet", "rock", "no vocals", "piano")
    network = Musicnn(tags=5, timbral=4, temporal=3, middle=4, dense=5)
    tagger = MusicnnTagger(network, classes=names, name="small")
    assert tagger.music_classes == ("drums", "rock", "piano")
    patch = tagger.stride
    assert patch / tagger.sample_rate == tagger.seconds_per_frame == 2.992
    audio = torch.randn(patch + 1, generator=torch.Generator().manual_seed(0))
    lengths = {1: 1, 255: 1, patch - 1: 1, patch: 1, patch + 1: 2}
    assert {length: len(tagger(audio[:length])) for length in lengths} == lengths


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "musicnn", None)
    with pytest.raises(ValueError, match=r"pip install --no-deps musicnn==0\.1\.0"):
        load_musicnn()
    with pytest.raises(ValueError, match="no weights 'MTT_vgg'; allowed: MTT_musicnn, MSD_music"):
        load_musicnn("MTT_vgg")


def drum_loop(seconds: float) -> Tensor:
    """Kicks and snares at 120 a minute."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(8000) / 16000
    kick = (2 * torch.pi * (50 * time + 4 * (1 - (-30 * time).exp()))).sin() * (-12 * time).exp()
    snare = 0.5 * torch.randn(8000, generator=generator) * (-20 * time).exp()
    return torch.cat([kick, snare]).repeat(round(seconds))


@needs_musicnn
def test_the_published_weights_hear_drums_and_a_flute() -> None:
    tagger = load_musicnn("MTT_musicnn")
    tone = 0.5 * (2 * torch.pi * 440 * torch.arange(6 * 16000) / 16000).sin()
    drums, flute = (tagger.classes.index(name) for name in ("drums", "flute"))
    loop, steady = tagger(drum_loop(6)).mean(dim=0), tagger(tone).mean(dim=0)
    assert loop[drums] > 0.2 > 0.1 > loop[flute]
    assert steady[flute] > 0.2 > 0.1 > steady[drums]
    assert len(tagger.classes) == 50
    assert re.fullmatch("musicnn MTT_musicnn sha256:[0-9a-f]{12}", tagger.name)


@needs_musicnn
def test_the_other_weights_load_too() -> None:
    tagger = load_musicnn("MSD_musicnn")
    loop, silence = tagger(drum_loop(3))[0], tagger(torch.zeros(48000))[0]
    electronic = tagger.classes.index("electronic")
    assert loop[electronic] > 0.2 > silence[electronic]


@pytest.mark.slow
@needs_musicnn
def test_embeddings_are_the_last_hidden_layer_of_each_patch() -> None:
    embedder = EMBEDDERS.load("musicnn")
    assert isinstance(embedder, MusicnnEmbedder)
    assert embedder.name == embedder.tagger.name
    time = torch.arange(7 * 16000) / 16000
    tone, noise = (
        0.5 * (440 * 2 * torch.pi * time).sin(),
        torch.rand(len(time), generator=torch.Generator().manual_seed(0)) - 0.5,
    )
    vectors = embedder(tone)
    assert vectors.shape == (3, 200)
    network = embedder.tagger.network
    with torch.inference_mode():
        tags = network.tags(network.dense_norm(vectors)).sigmoid()
    torch.testing.assert_close(tags, embedder.tagger(tone))
    own, other = (recording_vector(embedder, x) for x in (0.9 * tone, noise))
    whole = recording_vector(embedder, tone)
    assert whole @ own > 0.95 > whole @ other
