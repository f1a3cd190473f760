from pathlib import Path
from statistics import fmean, median

import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.evaluation.distances import reconstruction_distances
from stable_audio_open.evaluation.reconstruction import evaluate_autoencoder, evaluate_decoded

pytestmark = pytest.mark.numerical

RATE = 8000


def noise(seed: int, length: int = 4000) -> Tensor:
    return 0.1 * torch.randn(2, length, generator=torch.Generator().manual_seed(seed))


def save(folder: Path, name: str, samples: Tensor, rate: int = RATE) -> None:
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / f"{name}.wav", samples.T.numpy(), rate, subtype="FLOAT")


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    for seed in range(3):
        save(tmp_path / "originals", f"noise_{seed}", noise(seed))
    save(tmp_path / "originals", "silence", 0 * noise(0))
    return tmp_path / "originals"


@pytest.fixture
def decoded(tmp_path: Path, originals: Path) -> Path:
    """Further off from one to the next; the first not at all."""
    for seed in range(3):
        save(tmp_path / "decoded", f"noise_{seed}", noise(seed) + 0.1 * seed * noise(10 + seed))
    save(tmp_path / "decoded", "silence", noise(9))
    return tmp_path / "decoded"


def test_files_are_measured_one_by_one_and_silent_originals_apart(
    originals: Path, decoded: Path
) -> None:
    found = evaluate_decoded(decoded, originals)
    assert found.silent_originals == ("silence",)
    assert list(found.per_file) == ["noise_0", "noise_1", "noise_2"]
    assert (found.files, found.sample_rate, found.channels, found.silent) == (3, RATE, 2, ())
    for seed in range(3):
        by_hand = reconstruction_distances(
            noise(seed) + 0.1 * seed * noise(10 + seed), noise(seed), sample_rate=RATE
        )
        assert found.per_file[f"noise_{seed}"].stft == pytest.approx(by_hand.stft, rel=1e-4)
    values = [row.stft for row in found.per_file.values()]
    assert found.mean.stft == fmean(values)
    assert found.median.stft == median(values)


def test_an_autoencoder_is_measured_as_the_files_that_it_writes(
    originals: Path, decoded: Path
) -> None:
    def decode(audio: Audio) -> Tensor:
        for seed in range(3):
            if torch.equal(audio.samples[0], noise(seed)):
                return noise(seed) + 0.1 * seed * noise(10 + seed)
        raise AssertionError("the silent recording is not sent through")

    ours = evaluate_autoencoder(
        originals, decode, sample_rate=RATE, channels=2, checkpoint="x", checkpoint_hash="0" * 16
    )
    theirs = evaluate_decoded(decoded, originals)
    assert ours.mean.stft == pytest.approx(theirs.mean.stft, rel=1e-5)
    assert ours.mean.si_sdr == pytest.approx(theirs.mean.si_sdr, rel=1e-4)
    assert (ours.checkpoint, ours.checkpoint_hash) == ("x", "0" * 16)


def test_silent_decoding_is_told_and_scores_badly(originals: Path) -> None:
    found = evaluate_autoencoder(
        originals,
        lambda audio: 0 * audio.samples[0],
        sample_rate=RATE,
        channels=2,
        checkpoint="silence",
        checkpoint_hash=None,
    )
    assert len(found.silent) == 3
    assert found.mean.stft > 3
    assert found.mean.si_sdr < -70


def test_a_silent_channel_is_told(originals: Path) -> None:
    def decode(audio: Audio) -> Tensor:
        return audio.samples[0] + 0.01 * noise(9)

    left = noise(0) * torch.tensor([[1.0], [0.0]])
    save(originals, "left", left)
    ours = evaluate_autoencoder(
        originals, decode, sample_rate=RATE, channels=2, checkpoint="x", checkpoint_hash=None
    )
    save(originals.parent / "decoded", "left", left + 0.01 * noise(9))
    theirs = evaluate_decoded(originals.parent / "decoded", originals, allow_missing=True)
    assert "SI-SDR leaves out the silent channels of an original" in ours.definition
    for found in (ours, theirs):
        assert found.silent_channels == ("left",)
        assert found.per_file["left"].si_sdr == pytest.approx(40, abs=1)


def test_nan_is_no_figure(originals: Path) -> None:
    with pytest.raises(FloatingPointError, match=r"noise_0\.wav: decoded to NaN or infinite samp"):
        evaluate_autoencoder(
            originals,
            lambda audio: audio.samples[0] * torch.nan,
            sample_rate=RATE,
            channels=2,
            checkpoint="x",
            checkpoint_hash=None,
        )


def test_lengths_must_agree_but_for_a_rest(originals: Path, decoded: Path) -> None:
    save(decoded, "noise_0", torch.cat([noise(0), noise(5, 700)], dim=1))
    assert evaluate_decoded(decoded, originals).per_file["noise_0"].stft < 1e-6
    save(decoded, "noise_0", torch.cat([noise(0), noise(5, 900)], dim=1))
    with pytest.raises(ValueError, match=r"noise_0\.wav: is 0\.61 s long, its original 0\.50 s; "):
        evaluate_decoded(decoded, originals)


def test_nothing_but_silence_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a", "x", torch.zeros(2, 4000))
    with pytest.raises(
        ValueError, match=r"nothing to measure \(1 originals are silent\); give rec"
    ):
        evaluate_decoded(tmp_path / "a", tmp_path / "a")
