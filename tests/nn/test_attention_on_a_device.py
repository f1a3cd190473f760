"""Every backend of attention on a CUDA device, against the formula in float64."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from stable_audio_open.nn.attention import attend, flash_installed
from tests.on_device import distance

CLOSE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 3e-3}
SHAPES = {
    # of self-attention, and of cross-attention whose keys are shared by two heads
    "self": ((2, 24, 129, 64), (2, 24, 129, 64)),
    "cross": ((2, 24, 129, 64), (2, 12, 130, 64)),
}


def tensors(shapes: Any, dtype: torch.dtype, device: torch.device) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    query, key = shapes
    drawn = [torch.randn(shape, generator=random) for shape in (query, key, key)]
    return [x.to(device, dtype) for x in drawn]


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("backend", ["sdpa", "flash", "math"])
def test_backends(backend: Any, shapes: Any, dtype: torch.dtype, device: torch.device) -> None:
    if backend == "flash" and not flash_installed():
        pytest.skip("needs flash-attn")
    wanted = attend(
        *tensors(shapes, torch.float64, torch.device("cpu")), backend="math", widen_on_cpu=False
    )
    found = attend(*tensors(shapes, dtype, device), backend=backend)
    assert (found.device.type, found.dtype) == (device.type, dtype)
    assert distance(found, wanted) < CLOSE[dtype]


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_pytorchs_flash_kernel_takes_both(shapes: Any, device: torch.device) -> None:
    given = tensors(shapes, torch.bfloat16, device)
    wanted = attend(*given, backend="math")
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert distance(attend(*given), wanted) < CLOSE[torch.bfloat16]
