"""The report's tables, as Markdown and for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarking.comparison import OURS

Part = Mapping[str, Any]

HEADER = (
    *("part", "what", "side", "median (low to high)", "speed", "ratio (low to high)"),
    *("memory, own / mapped", "GPU, allocated / reserved", "operations", "roofline"),
)
NOTES = (
    "ratio: the side's time by ours, round by round; above 1, ours is faster. memory: the most "
    "that the process held, interpreter and packages included, without and with the pages of "
    "mapped files. roofline: the time that a large product of matrices (of the counted "
    "operations) or a large copy (of the weights) would take here at least, by the time taken. "
    "-: the side has no such part, or the device no such counter."
)


def rows(parts: Mapping[str, Part]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each side of each part that has sides."""
    for name, part in parts.items():
        if "sides" not in part:
            continue
        first = True
        for side, measured in part["sides"].items():
            label = (name, part["shape"]) if first else ("", "")
            first = False
            yield *label, side, *_cells(part, side, measured)


def markdown(report: Mapping[str, Any]) -> str:
    """Return machine, settings and tables as Markdown."""
    lines = []
    for title in ("machine", "settings", "versions", "roofline"):
        told = ", ".join(f"{name} {value}" for name, value in report[title].items())
        lines += [f"{title}: {told}", ""]
    lines += _table(HEADER, rows(report["parts"]))
    lines += ["", NOTES, ""]
    stages = [
        (name, part["shape"], stage, _spread(times))
        for name, part in report["parts"].items()
        for stage, times in part.get("stages", {}).items()
    ]
    if stages:
        lines += [*_table(("part", "what", "stage", "median (low to high)"), stages), ""]
    if report["growth"]:
        lines += [*_table(("part", "side", "seconds by size", "exponent"), _growth(report)), ""]
    if report["failures"]:
        lines += [*(f"failed: {line}" for line in report["failures"]), ""]
    if report["left_out"]:
        lines += [f"left out, since there was no time: {', '.join(report['left_out'])}", ""]
    return "\n".join(lines)


def _table(header: tuple[str, ...], body: Any) -> list[str]:
    lines = [header, tuple("---" for _ in header), *body]
    return [f"| {' | '.join(line)} |" for line in lines]


def _growth(report: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, grown in report["growth"].items():
        for side, curve in grown["sides"].items():
            points = ", ".join(f"{size:,}: {seconds:.3g}" for size, seconds in curve["points"])
            power = "-" if curve["exponent"] is None else f"{curve['exponent']:.2f}"
            yield f"{name} by {grown['across']}", side, points or "-", power


def _cells(part: Part, side: str, measured: Part | None) -> tuple[str, ...]:
    if measured is None:
        return ("-",) * (len(HEADER) - 3)
    memory, ratio = measured["memory"], part["ratios"].get(side)
    operations, share = measured.get("operations"), measured.get("roofline")
    speed = f"{part['amount'] / measured['median']:.3g} {part['unit']}" if "unit" in part else "-"
    if ratio is not None:
        compared = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
    else:
        compared = "1" if side in (OURS, "crop") else "-"
    return (
        _spread(measured),
        speed,
        compared,
        _sizes(memory["own"], memory["with_mapped"]),
        _sizes(memory["allocated"], memory["reserved"]),
        f"{operations / 1e9:.4g} G" if operations else "-",
        f"{share:.2f}" if share is not None else "-",
    )


def _spread(times: Part) -> str:
    return f"{times['median']:.4g} s ({times['low']:.4g} to {times['high']:.4g})"


def _sizes(*counts: int | None) -> str:
    told = ["-" if count is None else f"{count / 1e9:.2f}" for count in counts]
    return "-" if set(told) == {"-"} else f"{' / '.join(told)} GB"
