"""`stable-audio-open train --estimate`: the memory of a run, before anything starts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stable_audio_open.config.model import ModelConfig
    from stable_audio_open.jobs.estimate import MemoryEstimate

GIB = 2**30


def print_estimate(config: "ModelConfig") -> None:
    """Print a table of what a configuration's training needs per GPU (or on the CPU)."""
    from stable_audio_open.jobs.estimate import estimate_memory

    estimate = estimate_memory(config)
    assert config.training is not None
    assert config.training.trainer is not None
    where = "CPU" if config.training.trainer.accelerator == "cpu" else "GPU"
    _print_table(f"{config.name}: memory of a training step", estimate, where=where)


def _print_table(title: str, estimate: "MemoryEstimate", *, where: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("part", title=title, title_justify="left")
    table.add_column(f"{where}, GiB", justify="right")
    if where == "GPU":
        table.add_column("offloaded to the CPU, GiB", justify="right")
    rows = {
        "weights, trained": (estimate.trained, 0),
        "weights, frozen": (estimate.frozen, 0),
        "gradients": (estimate.gradients, 0),
        "gradients, exchanged": (estimate.buckets, 0),
        "optimiser": (estimate.optimizer, estimate.host_optimizer),
        "EMA": (estimate.ema, estimate.host_ema),
        "activations": (estimate.activations, 0),
        "working memory": (estimate.working, 0),
        "total": (estimate.total, estimate.host),
    }
    for name, sizes in rows.items():
        table.add_row(name, *(_gib(size) for size in sizes[: len(table.columns) - 1]))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    if where == "GPU":
        console.print(
            "Leave a GiB or more for the CUDA context, the libraries' workspaces and "
            "fragmentation: a total of 22.5 GiB fits a 24 GB card, one of 15 GiB a 16 GB card.",
            markup=False,
        )


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}" if size else "-"
