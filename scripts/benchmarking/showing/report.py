"""What is printed and written: the machine, the settings, the times."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarking.showing.tables import HEADER, NOTES, rows

WIDTH = 170


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what a reader needs to judge the times."""
    machine: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
    for package in ("torch", "diffusers", "transformers", "stable-audio-open"):
        machine[package] = _version(package)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        machine |= {
            "gpu": properties.name,
            "gpu_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
        }
    return machine


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def show(report: Mapping[str, Any]) -> None:
    """Print machine, settings and a table."""
    console = Console()
    console.width = max(console.width, WIDTH)
    for title in ("machine", "settings"):
        words = ", ".join(f"{name} {value}" for name, value in report[title].items())
        console.print(f"[bold]{title}[/bold]: {words}", highlight=False)
    parts: Mapping[str, Mapping[str, Any]] = report["parts"]
    if any("sides" in part for part in parts.values()):
        _show_sides(console, parts)
    staged = {name: part for name, part in parts.items() if "stages" in part}
    if staged:
        _show_stages(console, staged)
    for name, grown in report["growth"].items():
        for side, curve in grown["sides"].items():
            power = curve["exponent"]
            told = "too few sizes" if power is None else f"grows as {grown['across']}^{power:.2f}"
            console.print(f"{name}, {side}: {told}", highlight=False)
    if report["left_out"]:
        console.print(f"left out, since there was no time: {', '.join(report['left_out'])}")


def _show_sides(console: Console, parts: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(*HEADER, title="median (lowest to highest)", title_justify="left")
    for row in rows(parts):
        if row[0]:
            table.add_section()
        table.add_row(*row)
    console.print(table)
    console.print(NOTES, highlight=False)


def _show_stages(console: Console, parts: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table("part", "stage", "median", "lowest", "highest", "peak memory")
    for name, part in parts.items():
        table.add_section()
        title, memory = f"{name}: {part['shape']}", _size(part["peak_bytes"])
        for stage, times in part["stages"].items():
            seconds = [f"{times[value]:.4g} s" for value in ("median", "low", "high")]
            table.add_row(title, stage, *seconds, memory)
            title = memory = ""
    console.print(table)


def _size(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e9:.2f} GB"
