"""Tables of what stands and what does not, for people."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from bundled.curate import Curated, Kept
from stable_audio_open.curation.licences.policy import normalise


def summary(curated: Curated, packages: Sequence[str], seconds: Mapping[str, float]) -> str:
    """Return Markdown: what stands by package, licence and family, and what does not, by reason.

    Args:
        curated: The recordings.
        packages: All packages, in order.
        seconds: Length of each recording that stands, by its identifier.
    """
    kept = curated.kept
    dropped = Counter(_package(name) for name in curated.dropped)
    lines = ["# Data of the bundled model", ""]
    lines += ["| package | recordings | seconds | held out | left out |", "|---|---|---|---|---|"]
    own = _grouped(kept, lambda one: _package(one.record.id))
    for package in packages:
        lines.append(f"{_row(package, own.get(package, []), seconds)} {dropped[package]} |")
    lines.append(f"{_row('all', kept, seconds)} {dropped.total()} |")
    for title, key in (
        ("licence", lambda one: normalise(one.record.licence).label),
        ("family", lambda one: one.described.rule.family),
    ):
        lines += ["", f"| {title} | recordings | seconds | held out |", "|---|---|---|---|"]
        lines += [_row(name, group, seconds) for name, group in sorted(_grouped(kept, key).items())]
    return "\n".join([*lines, "", *_reasons(curated.dropped), ""])


def _row(name: str, group: Sequence[Kept], seconds: Mapping[str, float]) -> str:
    total = sum(seconds[one.record.id] for one in group)
    return f"| {name} | {len(group)} | {total:.0f} | {sum(one.held_out for one in group)} |"


def _grouped(kept: Sequence[Kept], key: Callable[[Kept], str]) -> dict[str, list[Kept]]:
    found: dict[str, list[Kept]] = defaultdict(list)
    for one in kept:
        found[key(one)].append(one)
    return found


def _reasons(dropped: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each package and reason, which names all recordings."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, reason in dropped.items():
        # Copies are told together, whatever they are copies of.
        short = " ".join(reason.split()[:2]) if " copy of " in reason else reason
        names[_package(name), short].append(name.rpartition("/")[2])
    yield "Left out:"
    yield ""
    for (package, reason), files in sorted(names.items()):
        yield f"- {package}, {len(files)}: {reason}: {', '.join(sorted(files))}"


def _package(name: str) -> str:
    """Return the package of `debian:PACKAGE/FILE` or `PACKAGE/FILE`."""
    return name.partition("/")[0].rpartition(":")[2]
