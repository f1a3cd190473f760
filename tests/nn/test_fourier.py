import math

import pytest
import torch

from stable_audio_open.nn.fourier import FourierFeatures

pytestmark = pytest.mark.numerical


def test_phases_are_two_pi_x_w() -> None:
    features = FourierFeatures(frequencies=5)
    found = features(torch.tensor([[0.0, 0.25], [1.0, -2.0]]))
    assert found.shape == (2, 2, 5)
    torch.testing.assert_close(found[1, 0], 2 * math.pi * features.weight)
    torch.testing.assert_close(found[1, 1], -4 * math.pi * features.weight)


def test_phases_are_computed_in_float32_at_least() -> None:
    x = torch.tensor([0.3])
    assert FourierFeatures(frequencies=5).bfloat16()(x.bfloat16()).dtype == torch.float32
    assert FourierFeatures(frequencies=5).double()(x).dtype == torch.float64
