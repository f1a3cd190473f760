import auraloss
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio
from transformers.audio_utils import mel_filter_bank

from stable_audio_open.evaluation.distances import mel_distance, reconstruction_distances

pytestmark = pytest.mark.numerical


def noise(seed: int, *, channels: int = 2, length: int = 8000) -> Tensor:
    return 0.1 * torch.randn(channels, length, generator=torch.Generator().manual_seed(seed))


def test_agrees_with_auraloss_and_torchmetrics() -> None:
    original = noise(0)
    decoded = 0.8 * original + 0.3 * noise(1)
    found = reconstruction_distances(decoded, original, sample_rate=16000)
    stft = auraloss.freq.STFTLoss()(decoded[None], original[None])
    multi = auraloss.freq.MultiResolutionSTFTLoss()(decoded[None], original[None])
    assert found.stft == pytest.approx(float(stft), rel=1e-5)
    assert found.multi_resolution_stft == pytest.approx(float(multi), rel=1e-5)
    centred = [one - one.mean(dim=1, keepdim=True) for one in (decoded, original)]
    theirs = auraloss.time.SISDRLoss()(decoded[None], original[None])
    assert found.si_sdr == -float(theirs)
    si_sdr = scale_invariant_signal_distortion_ratio(*centred).mean()
    assert found.si_sdr == pytest.approx(float(si_sdr), rel=1e-5)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_mel_bands_are_those_that_auraloss_asks_librosa_for(rate: int) -> None:
    # transformers' bank is tested there against librosa's, whose defaults these are.
    bank = mel_filter_bank(513, 128, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
    theirs = torch.from_numpy(bank.T).float()
    torch.testing.assert_close(mel_distance(rate).fb[0], theirs, rtol=1e-4, atol=1e-6)
    original, decoded = noise(0), noise(1)
    reference = auraloss.freq.STFTLoss(fft_size=1024, hop_size=256, win_length=1024)
    reference.scale, reference.fb = "mel", theirs[None]
    found = reconstruction_distances(decoded, original, sample_rate=rate)
    assert found.mel == pytest.approx(float(reference(decoded[None], original[None])), rel=1e-5)


def test_equal_audio_is_at_no_distance_and_worse_audio_further_away() -> None:
    original = noise(0)
    rows = [
        reconstruction_distances(original + level * noise(1), original, sample_rate=16000)
        for level in (0, 0.01, 0.1, 1)
    ]
    assert (rows[0].stft, rows[0].mel, rows[0].multi_resolution_stft) == (0, 0, 0)
    for name in ("stft", "mel", "multi_resolution_stft"):
        values = [getattr(row, name) for row in rows]
        assert values == sorted(values)
        assert len(set(values)) == 4
    # Of unrelated noise k times as loud: -20 log10(k).
    for row, decibels in zip(rows[1:], (40, 20, 0), strict=True):
        assert row.si_sdr == pytest.approx(decibels, abs=0.5)


def test_si_sdr_does_not_see_loudness_but_the_spectra_do() -> None:
    original = noise(0)
    decoded = original + 0.1 * noise(1)
    plain, loud = (
        reconstruction_distances(gain * decoded, original, sample_rate=16000) for gain in (1, 2)
    )
    assert loud.si_sdr == pytest.approx(plain.si_sdr, abs=1e-3)
    assert loud.stft > plain.stft + 0.5


def test_float32_agrees_with_float64_and_channels_may_change_places() -> None:
    original, decoded = noise(0), noise(0) + 0.1 * noise(1)
    found = reconstruction_distances(decoded, original, sample_rate=16000)
    swapped = reconstruction_distances(decoded.flip(0), original.flip(0), sample_rate=16000)
    for name in ("stft", "mel", "multi_resolution_stft", "si_sdr"):
        assert getattr(swapped, name) == pytest.approx(getattr(found, name), rel=1e-5)
    stft = auraloss.freq.STFTLoss()
    stft.window = stft.window.double()
    wide = float(stft(decoded.double()[None], original.double()[None]))
    assert found.stft == pytest.approx(wide, rel=1e-4)


def test_short_audio_is_followed_by_silence() -> None:
    original, decoded = noise(0, length=500), noise(1, length=500)
    padded = [torch.nn.functional.pad(one, (0, 1548)) for one in (decoded, original)]
    found = reconstruction_distances(decoded, original, sample_rate=16000)
    assert found == reconstruction_distances(*padded, sample_rate=16000)


def test_a_silent_channel_of_the_original_is_not_in_si_sdr() -> None:
    original, error = noise(0), 0.01 * noise(1)
    whole, left, right = (
        reconstruction_distances(sound + error[: len(sound)], sound, sample_rate=16000).si_sdr
        for sound in (original, original[:1], original[1:])
    )
    assert whole == pytest.approx((left + right) / 2, abs=0.5)
    half = original * torch.tensor([[1.0], [0.0]])
    found = reconstruction_distances(half + error, half, sample_rate=16000)
    assert found.si_sdr == pytest.approx(left, abs=1e-4)
    swapped = reconstruction_distances((half + error).flip(0), half.flip(0), sample_rate=16000)
    assert swapped.si_sdr == pytest.approx(left, abs=1e-4)
    # The spectral distances are those of auraloss, over both channels.
    wanted = auraloss.freq.STFTLoss()((half + error)[None], half[None])
    assert found.stft == pytest.approx(float(wanted), rel=1e-5)
