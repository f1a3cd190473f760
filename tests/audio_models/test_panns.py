import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stable_audio_open.audio_models.panns.checkpoint import (
    load_panns,
    load_panns_clip,
    read_class_names,
)
from stable_audio_open.audio_models.panns.clip import PannsEmbedder
from stable_audio_open.audio_models.panns.network import (
    MUSIC_CLASSES,
    WIDTHS,
    Cnn14DecisionLevel,
    panns_spectrogram,
)
from stable_audio_open.audio_models.stft_weights import FILTERS, IMAGINARY, REAL, front_end_tensors

pytestmark = pytest.mark.numerical

State = dict[str, Tensor]


def test_the_published_layers() -> None:
    """Names and shapes of the published file, and the sizes of the layers in closed form."""
    with torch.device("meta"):
        network = Cnn14DecisionLevel()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    wanted: dict[str, tuple[int, ...]] = {}

    def norm(name: str, size: int) -> None:
        parts = ("weight", "bias", "running_mean", "running_var")
        wanted.update({f"{name}.{part}": (size,) for part in parts})
        wanted[f"{name}.num_batches_tracked"] = ()

    norm("bn0", 64)
    before, convolutions = 1, 0
    for number, width in enumerate((64, 128, 256, 512, 1024, 2048), start=1):
        wanted[f"conv_block{number}.conv1.weight"] = (width, before, 3, 3)
        wanted[f"conv_block{number}.conv2.weight"] = (width, width, 3, 3)
        convolutions += 9 * width * (before + width)
        norm(f"conv_block{number}.bn1", width)
        norm(f"conv_block{number}.bn2", width)
        before = width
    wanted |= {"fc1.weight": (2048, 2048), "fc1.bias": (2048,)}
    wanted |= {"fc_audioset.weight": (527, 2048), "fc_audioset.bias": (527,)}
    assert shapes == wanted
    norms = 2 * 64 + 4 * sum(WIDTHS)
    total = convolutions + norms + 2048 * 2049 + 527 * 2049
    assert sum(p.numel() for p in network.parameters()) == total == 80_753_615
    front_end = front_end_tensors(panns_spectrogram())
    assert sum(tensor.numel() for tensor in front_end.values()) == 2 * 513 * 1024 + 513 * 64


def segments(state: State, audio: Tensor) -> tuple[Tensor, int]:
    """The published modules' steps, written out, from waveform to the mean over the bands."""
    s = {name: tensor.double() for name, tensor in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            s[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def convolve(x: Tensor, kernel: Tensor) -> Tensor:
        windows = F.pad(x, (1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1)
        return torch.einsum("ctfij,ocij->otf", windows, kernel)

    padded = F.pad(audio.double()[None], (512, 512), mode="reflect")[0]
    windows = padded.unfold(0, 1024, 320)
    power = (windows @ s[REAL][:, 0].T) ** 2 + (windows @ s[IMAGINARY][:, 0].T) ** 2
    decibels = 10 * (power @ s[FILTERS]).clamp(min=1e-10).log10()
    x = norm(decibels.T[:, :, None], "bn0").permute(2, 1, 0)  # [1, frames, bands]
    for block in range(1, 7):
        for layer in (1, 2):
            name = f"conv_block{block}"
            x = norm(convolve(x, s[f"{name}.conv{layer}.weight"]), f"{name}.bn{layer}").relu()
        if block < 6:
            time, bands = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
            x = x[:, :time, :bands].unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).mean(dim=(2, 4))
    return x.mean(dim=2), len(decibels)


def transcription(state: State, audio: Tensor) -> Tensor:
    """The same to the frames of the frame-wise network."""
    s = {name: tensor.double() for name, tensor in state.items()}
    x, length = segments(state, audio)
    beside = F.pad(x, (1, 1)).unfold(1, 3, 1)
    highest = F.pad(x, (1, 1), value=-torch.inf).unfold(1, 3, 1).amax(dim=2)
    x = (highest + beside.mean(dim=2)).T
    x = (x @ s["fc1.weight"].T + s["fc1.bias"]).relu()
    heard = (x @ s["fc_audioset.weight"].T + s["fc_audioset.bias"]).sigmoid()
    frames = heard.repeat_interleave(32, dim=0)
    last = frames[-1:].repeat(length - len(frames), 1)
    return torch.cat([frames, last]).float()


def test_a_checkpoint_is_heard_as_its_transcription(random_panns: Path) -> None:
    tagger = load_panns(random_panns)
    audio = 0.3 * torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    found = tagger(audio)
    state = torch.load(random_panns, weights_only=True)["model"]
    wanted = transcription(state, audio)
    assert wanted.std(dim=0).max() > 1e-3  # the frames differ, so that their order counts
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)  # float32, 14 layers
    assert found.shape == (1 + 50_000 // 320, 6)
    assert tagger.classes == ("Speech", *MUSIC_CLASSES)
    assert tagger.name.startswith("PANNs small.pth sha256:")


def clip_transcription(state: State, audio: Tensor) -> tuple[Tensor, Tensor]:
    """The hidden layer and the logits of the network for clips."""
    s = {name: tensor.double() for name, tensor in state.items()}
    x, _ = segments(state, audio)
    hidden = ((x.amax(dim=1) + x.mean(dim=1)) @ s["fc1.weight"].T + s["fc1.bias"]).relu()
    logits = hidden @ s["fc_audioset.weight"].T + s["fc_audioset.bias"]
    return hidden.float(), logits.float()


def test_a_clip_is_heard_as_its_transcription(random_panns: Path) -> None:
    tagger = load_panns_clip(random_panns)
    audio = 0.3 * torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    hidden, logits = clip_transcription(torch.load(random_panns)["model"], audio)
    found = tagger.logits(audio)
    torch.testing.assert_close(found, logits[None], rtol=1e-3, atol=1e-3)  # float32, 14 layers
    vectors = PannsEmbedder(tagger)(audio)
    torch.testing.assert_close(vectors, hidden[None], rtol=1e-3, atol=1e-3)
    digest = hashlib.sha256(random_panns.read_bytes()).hexdigest()[:12]
    assert PannsEmbedder(tagger).name == tagger.name == f"PANNs small.pth sha256:{digest}"


def test_a_long_recording_is_heard_in_windows_that_cover_it(random_panns: Path) -> None:
    tagger = load_panns_clip(random_panns)
    audio = 0.3 * torch.randn(700_000, generator=torch.Generator().manual_seed(0))
    rows = [tagger.logits(audio[start:][:320_000])[0] for start in (0, 190_000, 380_000)]
    found = tagger.logits(audio)
    torch.testing.assert_close(found, torch.stack(rows))
    assert PannsEmbedder(tagger)(audio).shape == (3, 8)
    assert tagger.logits(torch.zeros(1)).isfinite().all()


def test_the_frame_wise_checkpoint_is_not_one_for_clips(random_panns: Path) -> None:
    path = random_panns.rename(random_panns.with_name("Cnn14_DecisionLevelMax_mAP=0.385.pth"))
    with pytest.raises(ValueError, match=r"by its name; whole clips need Cnn14_mAP=0\.431\.pth"):
        load_panns_clip(path)
    with pytest.raises(ValueError, match=r"no such file; download Cnn14_mAP=0\.431\.pth of PANNs"):
        load_panns_clip(random_panns)


@pytest.mark.parametrize("length", [1, 100, 10_239, 10_240, 20_479])
def test_short_audio_has_its_frames(random_panns: Path, length: int) -> None:
    audio = torch.randn(length, generator=torch.Generator().manual_seed(0))
    found = load_panns(random_panns)(audio)
    assert len(found) == 1 + length // 320
    assert torch.isfinite(found).all()


def test_the_full_size_runs() -> None:
    network = Cnn14DecisionLevel().eval()
    with torch.inference_mode():
        found = network(torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert found.shape == (1, 2, 527)
    assert 0 < found.min() < found.max() < 1


def drop(state: State) -> None:
    del state["conv_block3.bn1.running_mean"]


def add(state: State) -> None:
    state["att.weight"] = torch.zeros(3)


def reshape(state: State) -> None:
    state["fc1.weight"] = torch.zeros(8, 9)


def no_spectrogram(state: State) -> None:
    del state[REAL]


def other_window(state: State) -> None:
    state[IMAGINARY] = state[IMAGINARY] * 0.99


def whole_numbers(state: State) -> None:
    state["fc1.weight"] = state["fc1.weight"].to(torch.int8)


def sparse(state: State) -> None:
    state["fc1.weight"] = state["fc1.weight"].to_sparse()


def complex_filters(state: State) -> None:
    state[IMAGINARY] = state[IMAGINARY].to(torch.complex64)


def not_finite(state: State) -> None:
    state["fc1.weight"][2, 3] = torch.nan


def flags_for_counters(state: State) -> None:
    state["bn0.num_batches_tracked"] = torch.tensor(True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"conv_block3\.bn1\.running_mean has the shape of nothing, where .* has \[5\]"),
        (add, r"att\.weight has the shape \[3\], where .* has no such tensor"),
        (reshape, r"fc1\.weight has the shape \[8, 9\], where .* has \[8, 8\]"),
        (no_spectrogram, "holds no tensor spectrogram_extractor.stft.conv_real.weight; give Cnn14"),
        (other_window, "conv_imag.weight is not that of a spectrogram at 32 kHz with a window"),
        (whole_numbers, r"fc1\.weight is of the type int8; allowed: "),
        (sparse, r"fc1\.weight is sparse \(sparse_coo\); allowed: "),
        (complex_filters, r"conv_imag\.weight is of the type complex64; allowed: "),
        (not_finite, r"fc1\.weight holds NaN; allowed: "),
        (flags_for_counters, r"bn0\.num_batches_tracked is of the type bool; allowed: "),
    ],
)
def test_another_network_is_refused(
    random_panns: Path, change: Callable[[State], None], message: str
) -> None:
    content = torch.load(random_panns, weights_only=True)
    change(content["model"])
    torch.save(content, random_panns)
    with pytest.raises(ValueError, match=rf"small\.pth: .*{message}"):
        load_panns(random_panns)


def test_missing_and_damaged_files(random_panns: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.pth: no such file; download Cnn14_DecisionLevelM"):
        load_panns(random_panns.with_name("none.pth"))
    labels = random_panns.with_name("class_labels_indices.csv")
    text = labels.read_text()
    labels.write_text(text.replace("3,/m/3", "5,/m/3"))
    with pytest.raises(ValueError, match=r"csv:5: expected class 3 with a name, got '5', 'Singing"):
        load_panns(random_panns)
    labels.write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(ValueError, match="5 names for 6 classes"):
        load_panns(random_panns)
    labels.write_text("a,b\n")
    with pytest.raises(ValueError, match="index, mid, display_name"):
        read_class_names(labels)
    labels.unlink()
    with pytest.raises(ValueError, match=r"put AudioSet's class_labels_indices\.csv"):
        load_panns(random_panns)
    random_panns.write_bytes(random_panns.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"small\.pth: cannot be read as a checkpoint"):
        load_panns(random_panns)
    torch.save({"weights": np.float64(1).item()}, random_panns)
    with pytest.raises(ValueError, match=r'small\.pth: holds no "model" with tensors'):
        load_panns(random_panns)


def test_the_first_band_starts_at_50_hz() -> None:
    """Against triangles of unit area, evenly spaced in mel: linear up to 1 kHz, 27 steps an octave
    of 6.4 above."""
    filters = panns_spectrogram().filters
    hertz = np.arange(513) * 32000 / 1024

    def mel(f: float) -> float:
        return 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

    edges = np.linspace(mel(50.0), mel(14000.0), 66)
    low, middle, high = 200 * edges[:3] / 3  # all below 1 kHz
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    first = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    assert filters.shape == (513, 64)
    np.testing.assert_allclose(filters[:, 0].numpy(), first, rtol=1e-4, atol=1e-7)
    assert filters[hertz <= 50].count_nonzero() == 0
    assert filters[hertz >= 14000].count_nonzero() == 0
    assert filters[447, 63] > 0  # at 13,969 Hz
