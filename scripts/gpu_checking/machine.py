"""What the machine is, and what it reaches: a large product and a large copy."""

import platform
import statistics
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch

from gpu_checking.stage import Options, run, synchronize

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def machine(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Measure both ceilings."""
    device, size = options.device, 256 if options.dry else 8192
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
        }
    for dtype in DTYPES:
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        out = torch.empty_like(a)
        seconds = median_seconds(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device)  # type: ignore[misc]
        found[f"product_{str(dtype).removeprefix('torch.')}_tflops"] = 2 * size**3 / seconds / 1e12
    source = torch.randn(size**2 * (1 if options.dry else 8), device=device)
    target = torch.empty_like(source)
    seconds = median_seconds(lambda: target.copy_(source), device)
    found["copy_gb_per_second"] = 2 * source.numel() * source.element_size() / seconds / 1e9
    for name, value in found.items():
        print(f"{name:28}{value if not isinstance(value, float) else format(value, '.1f')}")
    return found, []


def median_seconds(call: Callable[[], object], device: torch.device, *, times: int = 10) -> float:
    """Return the median time of a call, after three that do not count."""
    for _ in range(3):
        call()
    seconds = []
    for _ in range(times):
        synchronize(device)
        begin = perf_counter()
        call()
        synchronize(device)
        seconds.append(perf_counter() - begin)
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(run(machine))
