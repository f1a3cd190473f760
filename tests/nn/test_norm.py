import pytest
import torch
from torch import Tensor

from stable_audio_open.nn.norm import LayerNorm

pytestmark = pytest.mark.numerical


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_offset_is_stored_used_and_not_trained() -> None:
    norm = LayerNorm(width=6)
    assert [name for name, _ in norm.named_parameters()] == ["gain"]
    assert list(norm.state_dict()) == ["gain", "offset"]
    x = normal(2, 3, 6)
    before = norm(x)
    norm.load_state_dict({"gain": norm.gain, "offset": torch.full((6,), 0.5)})
    torch.testing.assert_close(norm(x), before + 0.5)


def test_output_has_no_mean_and_unit_variance() -> None:
    out = LayerNorm(width=64)(3 + 5 * normal(4, 64))
    torch.testing.assert_close(out.mean(dim=-1), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.var(dim=-1, correction=0), torch.ones(4))
