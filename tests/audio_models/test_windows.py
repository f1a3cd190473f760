import pytest
import torch
from torch import Tensor

from stable_audio_open.audio_models.embedder import FunctionEmbedder
from stable_audio_open.audio_models.stereo import StereoEmbedder
from stable_audio_open.audio_models.windows import covering, striding


def test_windows_every_half_as_the_paper_counts_them() -> None:
    """10 s every 5 s: one for 10 s, 9 for 47 s, and never none."""
    counts = {1: 1, 99: 1, 100: 1, 101: 2, 149: 2, 150: 2, 151: 3, 470: 9}
    assert {n: len(striding(n, 100, 50)) for n in counts} == counts
    assert striding(470, 100, 50) == list(range(0, 401, 50))


def test_the_fewest_windows_that_cover() -> None:
    assert covering(30, 100) == covering(100, 100) == [0]
    assert covering(250, 100) == [0, 75, 150]
    for length in range(1, 400):
        starts = covering(length, 100)
        heard = {sample for start in starts for sample in range(start, start + 100)}
        assert heard >= set(range(length))


def loudest(mono: Tensor) -> Tensor:
    windows = mono.unfold(0, 2, 2)
    return torch.stack([windows.amax(dim=1), windows.sum(dim=1)], dim=1)


def test_left_and_right_are_embedded_apart() -> None:
    embedder = FunctionEmbedder(name="loudest", sample_rate=4, function=loudest)
    stereo = StereoEmbedder(embedder)
    assert (stereo.name, stereo.sample_rate) == ("loudest left and right", 4)
    left, right = torch.tensor([[0.1, 0.3, 0.2, 0.0], [0.4, 0.5, 0.0, 0.9]])
    found = stereo(torch.stack([left, right]))
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.4, 0.5, 0.9], [0.2, 0.2, 0.9, 0.9]]))
    torch.testing.assert_close(stereo(left[None]), stereo(torch.stack([left, left])))
    with pytest.raises(ValueError, match="audio has 3 channels; allowed: 1, 2"):
        stereo(torch.zeros(3, 4))
