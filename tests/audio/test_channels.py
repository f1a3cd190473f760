import pytest
import torch

from stable_audio_open.audio.channels import to_channels


def test_mono_is_copied_and_comes_back() -> None:
    mono = torch.randn(2, 1, 9, generator=torch.Generator().manual_seed(0))
    stereo = to_channels(mono, 2)
    assert torch.equal(stereo[:, 0], mono[:, 0])
    assert torch.equal(stereo[:, 1], mono[:, 0])
    assert torch.equal(to_channels(stereo, 1), mono)


def test_stereo_is_averaged() -> None:
    stereo = torch.tensor([[[1.0, 0.0], [0.0, -1.0]]])
    assert to_channels(stereo, 1).tolist() == [[[0.5, -0.5]]]


def test_other_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="audio of 6 channels into 2; only 1 to 2 and 2 to 1"):
        to_channels(torch.zeros(1, 6, 4), 2)
