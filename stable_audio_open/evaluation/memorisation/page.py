"""The page on which a person listens to the memorisation candidates."""

from stable_audio_open.evaluation.memorisation.result import Memorisation
from stable_audio_open.pages.figure_style import svg_address
from stable_audio_open.pages.figures import steps
from stable_audio_open.pages.rendering import Plot, Table, render


def memorisation_page(result: Memorisation) -> str:
    """Return the page: histograms, and players side by side that find their files relative to it.

    It needs neither network nor scripts; whatever comes from manifests is escaped.
    """
    return render(
        "memorisation.html.jinja",
        title=f"Memorisation of {' + '.join((result.generation.model, *result.generation.lora))}",
        result=result,
        sets=_sets(result),
        distributions=_distributions(result),
        quantiles=_quantiles(result),
        alike=_alike(result.settings.threshold),
        repeated=Table(("recordings",), [(", ".join(group),) for group in result.repeated]),
    )


def _sets(result: Memorisation) -> Table:
    head = ("set", "compared", "chunks", "silent chunks", "silent from start to end", "unreadable")
    return Table(
        head,
        [
            (s.name, s.files, s.windows, s.silent_windows, len(s.silent), len(s.unreadable))
            for s in result.sets
        ],
    )


def _distributions(result: Memorisation) -> Plot:
    title = "Share of a set by similarity to the nearest training recording"
    figure = steps(
        title,
        result.edges,
        [(d.name, [n / d.count for n in d.histogram]) for d in result.distributions],
        across="cosine to the nearest training recording",
        up="share of the set",
    )
    return Plot(title, svg_address(figure))


def _quantiles(result: Memorisation) -> Table:
    names = tuple(result.distributions[0].quantiles)
    return Table(
        ("set", "count", *names),
        [
            (d.name, d.count, *(f"{d.quantiles[name]:.3f}" for name in names))
            for d in result.distributions
        ],
    )


def _alike(threshold: float | None) -> str:
    """Say what recordings have in common that count as repeated."""
    if threshold is None:
        return "the same samples"
    return f"the same samples or a cosine of at least {threshold:g}"
