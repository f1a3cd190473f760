"""Where a window lies in a longer sound, as a model is told."""

from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.request import Item


def placed(model: LatentDiffusion, item: Item, *, offset: float, window: float) -> Item:
    """Return an item as a window of it is conditioned.

    A model that is not conditioned on `seconds_start` is told that the window is all there is.

    Args:
        model: The system.
        item: A sound, its seconds those of the whole.
        offset: Seconds of the sound before the window.
        window: Seconds of the window.
    """
    numbers = model.conditioner.numbers
    if "seconds_start" not in numbers:
        return item._replace(seconds_total=min(window, item.seconds_total - offset))
    most = min(
        float(numbers[name].maximum)  # type: ignore[arg-type]
        for name in ("seconds_start", "seconds_total")
        if name in numbers
    )
    start, total = seconds_in_range(
        item.seconds_start + offset, item.seconds_total, window=window, most=most
    )
    return item._replace(seconds_start=start, seconds_total=total)


def seconds_in_range(
    start: float, total: float, *, window: float, most: float
) -> tuple[float, float]:
    """Return `seconds_start` and `seconds_total` of a window as a model of limited range is told.

    Of a sound that is longer than `most`, the beginning is at its distance from the start and the
    end at its distance from the end; all between is in the middle of a sound of `most` seconds.

    Args:
        start: Seconds at which the window begins.
        total: Seconds of the whole.
        window: Seconds of the window.
        most: Largest number that the model knows.
    """
    if total <= most:
        return start, total
    middle = max(0.0, (most - window) / 2)
    return max(min(start, middle), start - (total - most)), most
