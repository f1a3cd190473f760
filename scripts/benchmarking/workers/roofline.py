"""What this machine can do at most: a large product of matrices, and a large copy."""

from typing import Any

import torch

from benchmarking.timing import seconds_of

ROUNDS = 5


def roofline(
    dtype: torch.dtype, *, device: torch.device, side: int | None = None
) -> dict[str, Any]:
    """Return the best of some rounds: operations a second of a product, bytes a second of a copy.

    Args:
        dtype: Type of the matrices.
        device: Where to.
        side: Rows and columns of the matrices; 8192 on a CUDA device and 2048 elsewhere when None.
    """
    on_gpu = device.type == "cuda"
    side = side or (8192 if on_gpu else 2048)
    random = torch.Generator().manual_seed(0)
    left, right = (torch.randn(side, side, generator=random).to(device, dtype) for _ in range(2))
    out = torch.empty_like(left)
    # Far beyond the caches.
    source = torch.zeros((1 << 30 if on_gpu else 1 << 28) // 4, device=device)
    target = torch.empty_like(source)
    product = min(
        seconds_of(lambda: torch.mm(left, right, out=out), device=device, calls=2)
        for _ in range(ROUNDS)
    )
    copy = min(seconds_of(lambda: target.copy_(source), device=device) for _ in range(ROUNDS))
    return {
        "gemm_side": side,
        "operations_per_second": 2 * side**3 / product,
        # Each number is read and written.
        "bytes_per_second": 2 * source.numel() * source.element_size() / copy,
    }
