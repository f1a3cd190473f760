"""The Frechet distance by a user's own function of recordings."""

from pathlib import Path

import pytest
import soundfile
import torch

from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.result import UnmeasurableError
from tests.function_embedder import FunctionEmbedder

pytestmark = pytest.mark.numerical

RATE = 8000


def windows(mono: torch.Tensor) -> torch.Tensor:
    """Two numbers of each tenth of a second, and as many again of the other channel."""
    tenths = mono.unfold(0, RATE // 10, RATE // 10)
    return torch.stack([tenths.std(dim=1), tenths.diff(dim=1).std(dim=1)], dim=1)


EMBEDDER = FunctionEmbedder(name="levels", sample_rate=RATE, function=windows)


def noise(folder: Path, seed: int, tenths: int) -> Path:
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    samples = 0.1 * torch.randn(tenths * RATE // 10, 2, generator=generator)
    soundfile.write(folder / "noise.wav", samples.numpy(), RATE, subtype="FLOAT")
    return folder


@pytest.mark.parametrize(("own", "theirs"), [(2, 9), (9, 4)])
def test_windows_that_do_not_fill_a_covariance_are_told(
    own: int, theirs: int, tmp_path: Path
) -> None:
    made, reference = noise(tmp_path / "made", 0, own), noise(tmp_path / "reference", 1, theirs)
    result = evaluate_frechet(made, reference, EMBEDDER)
    assert (result.windows, result.reference_windows, result.dimensions) == (own, theirs, 4)
    assert result.caution is not None
    assert result.caution.startswith(
        f"{own} windows, {theirs} of the reference, are few for vectors of 4 numbers"
    )


def test_what_44_khz_cannot_hold_is_not_heard(tmp_path: Path) -> None:
    """A tone at 23 kHz, and one at 1 kHz, for an embedder that hears both."""
    peaks: list[float] = []

    def spectrum(mono: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(mono[4800:-4800]).abs()
        peaks.append(float(power.argmax()) * 48_000 / (len(mono) - 9600))
        return torch.rand(5, 2)

    time = torch.arange(48_000) / 48_000
    both = 0.5 * torch.sin(2 * torch.pi * 23_000 * time) + 0.1 * torch.sin(
        2 * torch.pi * 1000 * time
    )
    for name in ("made", "reference"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "tones.wav", both.numpy(), 48_000, subtype="FLOAT")
    embedder = FunctionEmbedder(name="spectrum", sample_rate=48_000, function=spectrum)
    folders = tmp_path / "made", tmp_path / "reference"
    result = evaluate_frechet(*folders, embedder, cache=tmp_path / "c.safetensors")
    assert peaks == pytest.approx([1000.0] * 4, abs=2)
    assert result.definition.endswith("left and right joined, through 44.1 kHz")
    # Statistics know by which way they came.
    lower = FunctionEmbedder(name="spectrum", sample_rate=44_100, function=spectrum)
    with pytest.raises(
        ValueError, match=r"by spectrum \(weights unknown, stereo, through 44100 Hz"
    ):
        evaluate_frechet(folders[0], tmp_path / "c.safetensors", lower)


def test_a_cache_beside_statistics_is_refused(tmp_path: Path) -> None:
    made, reference = noise(tmp_path / "made", 0, 5), noise(tmp_path / "reference", 1, 5)
    cache = tmp_path / "c.safetensors"
    evaluate_frechet(made, reference, EMBEDDER, cache=cache)
    with pytest.raises(ValueError, match=r"c\.safetensors: holds statistics already; leave the ca"):
        evaluate_frechet(made, cache, EMBEDDER, cache=tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_sets_without_pairs_have_no_ids_to_miss(tmp_path: Path) -> None:
    made, reference = noise(tmp_path / "made", 0, 5), noise(tmp_path / "reference", 1, 5)
    (made / "noise.wav").rename(made / "other.wav")
    result = evaluate_frechet(made, reference, EMBEDDER, paired=False)
    assert (result.missing, result.extra) == ((), ())
    with pytest.raises(ValueError, match="shares no id"):
        evaluate_frechet(made, reference, EMBEDDER)


def test_enough_windows_need_no_caution(tmp_path: Path) -> None:
    made, reference = noise(tmp_path / "made", 0, 5), noise(tmp_path / "reference", 1, 5)
    assert evaluate_frechet(made, reference, EMBEDDER).caution is None


@pytest.mark.parametrize("points", [-1, 1, 2])
def test_points_that_make_no_line_are_refused_before_anything_is_heard(
    points: int, tmp_path: Path
) -> None:
    made, reference = noise(tmp_path / "made", 0, 9), noise(tmp_path / "reference", 1, 9)
    heard = []

    def hear(mono: torch.Tensor) -> torch.Tensor:
        heard.append(mono)
        return windows(mono)

    embedder = FunctionEmbedder(name="levels", sample_rate=RATE, function=hear)
    with pytest.raises(ValueError, match=f"^{points} points make no line; give at least 3, or 0 f"):
        evaluate_frechet(made, reference, embedder, points=points)
    assert not heard


@pytest.mark.parametrize(("own", "theirs", "short"), [(1, 9, "made"), (9, 1, "reference")])
def test_a_set_of_one_window_is_named(own: int, theirs: int, short: str, tmp_path: Path) -> None:
    made, reference = noise(tmp_path / "made", 0, own), noise(tmp_path / "reference", 1, theirs)
    message = rf"/{short}: a covariance needs at least 2 windows, there is 1; add recordings$"
    with pytest.raises(UnmeasurableError, match=message):
        evaluate_frechet(made, reference, EMBEDDER)
