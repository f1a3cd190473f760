"""Ten guided steps under the profiler, and how fast they are eager, as a graph and compiled."""

import gzip
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from gpu_checking.stage import Options, published_model, run, synchronize
from stable_audio_open.builders.precision import place
from stable_audio_open.builders.random_model import full_prompts
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.guidance import guide
from stable_audio_open.latent_diffusion import LatentDiffusion

STEPS = 10
MOST_TRACE = 15_000_000
"""Bytes of the trace that are kept."""
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
SHOWN = 25

Step = Callable[[], Tensor]


@torch.inference_mode()
def steps(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Profile, then time each way of running a step."""
    dtype = torch.float32 if options.device.type == "cpu" else torch.bfloat16
    model = place(published_model(options), device=options.device, dtype=dtype)
    step = guided_step(model, frames=32 if options.dry else model.window_frames)
    for _ in range(3):
        step()
    found: dict[str, Any] = {"profile": profiled(step, options)}
    print_profile(found["profile"])
    options.json.write_text(json.dumps(found))
    found["steps_per_second"] = speeds = {}
    faults = []
    ways: dict[str, Callable[[], Step]] = {"eager": lambda: step}
    if options.device.type == "cuda":
        ways["graph"] = lambda: as_graph(step)
    if not options.dry:
        ways["compiled blocks"] = lambda: compiled(model, step)
    if options.device.type == "cuda":
        ways["compiled blocks, graph"] = lambda: as_graph(step)
    wanted = step()
    for name, made in ways.items():
        begin = perf_counter()
        try:
            way = made()
            differs = float((way() - wanted).norm() / wanted.norm())
        except Exception as error:  # noqa: BLE001  # the others are measured all the same
            faults.append(f"{name}: {type(error).__name__}: {error}")
            continue
        ready = perf_counter() - begin
        speeds[name] = rate(way, options)
        print(f"{name:24}{speeds[name]:8.1f} steps/s, ready after {ready:.1f} s, {differs:.1e} off")
        options.json.write_text(json.dumps(found))
    return found, faults


def guided_step(model: LatentDiffusion, *, frames: int) -> Step:
    """Return a step with guidance for one sound, all that is done before it left out."""
    conditioning = model.conditioner(full_prompts(model.conditioner, 1))
    transformer = ConditionedTransformer(
        model.transformer, conditioning, negative=None, times=[0.5], frames=frames
    )
    random = torch.Generator().manual_seed(0)
    shape = 1, model.autoencoder.latent_channels, frames
    x = torch.randn(shape, generator=random).to(model.device)

    def step() -> Tensor:
        conditional, null = transformer.pair(x, 0.5)
        return guide(conditional.float(), null.float(), scale=7.0)

    return step


def profiled(step: Step, options: Options) -> dict[str, Any]:
    """Return where the time of ten steps goes; a trace is written beside the JSON."""
    gpu = options.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    synchronize(options.device)
    with profile(activities=activities) as watched:
        for _ in range(STEPS):
            step()
        synchronize(options.device)
    whole = options.json.with_suffix(".trace")
    watched.export_chrome_trace(str(whole))
    events = json.loads(whole.read_bytes())["traceEvents"]
    keep_trace(whole, options.json.with_name("trace.json.gz"))
    return summary(events, kinds=("kernel", "gpu_memcpy", "gpu_memset") if gpu else ("cpu_op",))


def summary(events: list[dict[str, Any]], *, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Return kernels by time, gaps between them, and calls of the CUDA runtime.

    Args:
        events: Of a Chrome trace, in microseconds.
        kinds: Categories of what computes.
    """
    timed = [e for e in events if e.get("ph") == "X"]
    work = sorted((e for e in timed if e.get("cat") in kinds), key=lambda e: e["ts"])
    microseconds: defaultdict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    busy, end, gaps = 0.0, None, []
    for event in work:
        microseconds[event["name"]] += event["dur"]
        counts[event["name"]] += 1
        start, stop = event["ts"], event["ts"] + event["dur"]
        if end is not None and start > end:
            gaps.append(start - end)
        busy += max(0.0, stop - max(start, end if end is not None else start))
        end = stop if end is None else max(end, stop)
    span = end - work[0]["ts"] if end is not None else 0.0
    calls = Counter(e["name"] for e in timed if e.get("cat") in ("cuda_runtime", "cuda_driver"))
    longest = sorted(microseconds, key=lambda name: -microseconds[name])[:SHOWN]
    return {
        "steps": STEPS,
        "milliseconds_per_step": span / STEPS / 1000,
        "busy_share": busy / span if span else None,
        "launches_per_step": sum(calls[name] for name in LAUNCHES) / STEPS,
        "waits_in_all": {name: calls[name] for name in WAITS if calls[name]},
        "copies_in_all": sum(n for name, n in counts.items() if "Memcpy" in name),
        "gaps_per_step": len(gaps) / STEPS,
        "gap_milliseconds_per_step": sum(gaps) / STEPS / 1000,
        "longest_gap_milliseconds": max(gaps, default=0.0) / 1000,
        "kernels": [
            {
                "name": name,
                "milliseconds_per_step": microseconds[name] / STEPS / 1000,
                "times_per_step": counts[name] / STEPS,
            }
            for name in longest
        ],
    }


def keep_trace(whole: Path, kept: Path) -> None:
    """Compress a trace, and keep it where it is small enough."""
    packed = gzip.compress(whole.read_bytes(), compresslevel=6)
    whole.unlink()
    if len(packed) <= MOST_TRACE:
        kept.write_bytes(packed)


def print_profile(found: dict[str, Any]) -> None:
    """Print numbers first, then what takes longest."""
    for name, value in found.items():
        if name != "kernels":
            print(f"{name:28}{value:.3f}" if isinstance(value, float) else f"{name:28}{value}")
    for one in found["kernels"]:
        line = f"{one['milliseconds_per_step']:8.3f} ms {one['times_per_step']:7.1f} x  "
        print(line + one["name"][:90])


def as_graph(step: Step) -> Step:
    """Return the replay of a step's CUDA graph."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def compiled(model: LatentDiffusion, step: Step) -> Step:
    """Compile the transformer's blocks in place: one compilation for all of them."""
    for block in model.transformer.blocks:
        block.compile(fullgraph=False)
    for _ in range(3):
        step()
    return step


def rate(step: Step, options: Options) -> float:
    """Return steps per second, of the fastest of three rounds."""
    times = 3 if options.dry else 30
    rounds = []
    for _ in range(3):
        synchronize(options.device)
        begin = perf_counter()
        for _ in range(times):
            step()
        synchronize(options.device)
        rounds.append(times / (perf_counter() - begin))
    return max(rounds)


if __name__ == "__main__":
    sys.exit(run(steps))
