"""Seconds and memory of each stage at the published size (appendix B), in two number formats."""

import sys
from typing import Any

import msgspec
import torch

from gpu_checking.stage import PUBLISHED, Options, run
from stable_audio_open.evaluation.speed import speed_table
from stable_audio_open.jobs.speed import SpeedRequest, measure_speed


def memory(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Measure each number format; weights are random, and drawn once for each."""
    found: dict[str, Any] = {}
    for dtype in ("bfloat16", "float32"):
        speed = measure_speed(
            SpeedRequest(
                model="tiny" if options.dry else str(PUBLISHED),
                device=str(options.device),
                dtype=dtype,
                steps=2 if options.dry else 20,
                chunks=(32,) if options.dry else (32, 64, 128, 256, 512),
                repeats=1 if options.dry else 3,
            ),
            tell=print,
        )
        found[dtype] = msgspec.to_builtins(speed)
        print(speed_table(speed), flush=True)
        # What is found so far is kept where the time runs out.
        options.json.write_bytes(msgspec.json.encode(found))
        if options.device.type == "cuda":
            torch.cuda.empty_cache()
    return found, []


if __name__ == "__main__":
    sys.exit(run(memory))
