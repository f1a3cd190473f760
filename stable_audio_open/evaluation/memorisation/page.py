"""The page on which a person listens to the memorisation candidates."""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from stable_audio_open.evaluation.memorisation.result import (
    Candidate,
    Memorisation,
    Section,
    StudiedSet,
)
from stable_audio_open.pages.figures import html_table, steps
from stable_audio_open.pages.html import html_page

STYLE = """
audio { width: 17rem; }
tr.own td:last-child { border-left: 4px solid #c2452d; padding-left: .6rem; }
"""


def memorisation_page(result: Memorisation) -> str:
    """Return the page: histograms, and players side by side that find their files relative to it.

    It needs neither network nor scripts; whatever comes from manifests is escaped.
    """
    title = f"Memorisation of {' + '.join((result.generation.model, *result.generation.lora))}"
    body = (
        f"{_introduction(result)}{_sets(result)}"
        f"<h2>How near to the training set</h2>{_distributions(result)}"
        f"{''.join(_section(section, result) for section in result.sections)}"
        f"<h2>Repeated training data</h2>{_repeated(result)}"
    )
    return html_page(title, body, STYLE)


def _introduction(result: Memorisation) -> str:
    made = result.generation
    seconds = "each as long as its recording" if made.duration is None else f"{made.duration:g} s"
    return (
        f"<p>{escape(result.definition)} Embedder: {escape(str(result.checkpoint))}, weights "
        f"{result.checkpoint_hash or 'none'}, {result.sample_rate:,} Hz. Chunks of at most "
        f"{result.settings.chunk:g} s. Sounds: {made.steps} steps, guidance scale "
        f"{made.guidance:g}, {seconds}, seed {made.seed}, prompts from the {made.prompts}. "
        f"stable-audio-open {result.version}.</p><p>A high cosine is no copy: listen. A red "
        "line marks the recording that gave the prompt.</p>"
    )


def _sets(result: Memorisation) -> str:
    head = ("set", "compared", "chunks", "silent chunks", "silent from start to end", "unreadable")
    rows = [
        (s.name, s.files, s.windows, s.silent_windows, len(s.silent), len(s.unreadable))
        for s in result.sets
    ]
    return f"{html_table(head, rows)}{''.join(map(_left_out, result.sets))}"


def _left_out(found: StudiedSet) -> str:
    """Name what was not compared."""
    return "".join(
        f"<p>{word} in {escape(found.name)}: {escape(', '.join(files))}.</p>"
        for word, files in (("Silent", found.silent), ("Unreadable", found.unreadable))
        if files
    )


def _distributions(result: Memorisation) -> str:
    names = list(result.distributions[0].quantiles)
    rows = [
        (d.name, d.count, *(f"{d.quantiles[name]:.3f}" for name in names))
        for d in result.distributions
    ]
    plot = steps(
        "Share of a set by similarity to the nearest training recording",
        result.edges,
        [(d.name, [n / d.count for n in d.histogram]) for d in result.distributions],
    )
    return plot + html_table(("set", "count", *names), rows)


def _section(section: Section, result: Memorisation) -> str:
    facts = [
        f"{section.above_baseline:,} of {section.sounds:,} sounds are nearer to the training set "
        f"than {result.baseline:.3f}, the {result.settings.baseline_quantile:.0%} quantile of the "
        "last baseline."
    ]
    if section.silent:
        facts.append(f"{len(section.silent):,} more are silent and were compared with nothing.")
    if section.nearest_is_prompted is not None:
        facts.insert(
            0,
            f"Prompts of {section.prompted_recordings:,} recordings; "
            f"{section.nearest_is_prompted:,} of {section.sounds:,} sounds are nearest to the very "
            "recording.",
        )
    return (
        f"<h2>{escape(section.title.capitalize())}</h2><p>{' '.join(facts)} "
        f"The {len(section.candidates)} nearest:</p><table><thead><tr><th>Rank</th><th>Cosine</th>"
        "<th>Sound</th><th>Nearest training recording</th></tr></thead><tbody>"
        f"{''.join(map(_row, section.candidates))}</tbody></table>"
    )


def _row(candidate: Candidate) -> str:
    own = candidate.prompted_recording == candidate.recording
    about = f"seed {candidate.seed}" if candidate.seed is not None else candidate.sound
    if candidate.prompted_recording is not None and candidate.prompted_similarity is not None:
        about += f"; {candidate.prompted_similarity:.3f} to {candidate.prompted_recording}"
    return (
        f"<tr{' class=own' if own else ''}><td class=number>{candidate.rank}</td>"
        f"<td class=number>{candidate.similarity:.3f}</td>"
        f"<td>{_player(candidate.sound, f'sound {candidate.rank}')}<br>{escape(candidate.prompt)}"
        f"<br><small>{escape(about)}</small></td>"
        f"<td>{_player(candidate.excerpt, f'recording {candidate.rank}')}<br>"
        f"{escape(candidate.caption)}<br><small>{escape(candidate.recording)}, from "
        f"{candidate.start:.2f} s</small></td></tr>"
    )


def _player(path: str, label: str) -> str:
    source = escape(quote(path))
    return f'<audio controls preload="none" aria-label="{label}" src="{source}"></audio>'


def _repeated(result: Memorisation) -> str:
    how = "the same samples"
    if result.settings.threshold is not None:
        how += f" or a cosine of at least {result.settings.threshold:g}"
    if not result.repeated:
        return f"<p>No two recordings have {how}.</p>"
    rows: list[Sequence[object]] = [(", ".join(group),) for group in result.repeated]
    return f"<p>Groups of recordings with {how}:</p>{html_table(('recordings',), rows)}"
