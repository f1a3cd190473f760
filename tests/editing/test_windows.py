"""Windows over one state, against closed forms."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers import StepNoise, get_sampler, sampler_names
from stable_audio_open.diffusion.samplers.dpmpp import dpmpp_2m
from stable_audio_open.diffusion.schedule import polyexponential
from stable_audio_open.editing.windows import (
    Window,
    golden_offsets,
    least_overlap,
    ramps,
    starts_on_a_line,
    starts_on_a_ring,
    windowed,
)

pytestmark = pytest.mark.numerical

SIGMAS = polyexponential(30, 0.01, 500.0)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pointwise(x: Tensor, sigma: float) -> Tensor:
    """Exact for latents of independent frames from N(0.3, 0.5^2)."""
    return (0.25 * x + sigma**2 * 0.3) / (0.25 + sigma**2)


def gaussian(covariance: Tensor) -> Denoiser:
    """Exact for latents of this covariance over time."""
    values, vectors = torch.linalg.eigh(covariance)

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        gains = values / (values + sigma**2)
        return x @ (vectors * gains) @ vectors.T

    return denoiser


def covariance(frames: int, length: float) -> Tensor:
    """Of a stationary field whose correlation falls to 1 / e after `length` frames."""
    places = torch.arange(frames, dtype=torch.float64)
    return torch.exp(-(places[:, None] - places).abs() / length)


def line(denoiser: Denoiser, *, frames: int, window: int) -> Denoiser:
    starts = starts_on_a_line(frames, window=window)
    return windowed([Window(start, denoiser) for start in starts], frames=frames, window=window)


def ring(
    denoiser: Denoiser, *, frames: int, window: int, origin: int | Callable[[float], int] = 0
) -> Denoiser:
    starts = starts_on_a_ring(frames, window=window)
    return windowed(
        [Window(start, denoiser) for start in starts],
        frames=frames,
        window=window,
        offset=origin if callable(origin) else lambda _: origin,
    )


@pytest.mark.parametrize("window", [2, 7, 100, 128])
@pytest.mark.parametrize("more", [0, 1, 2, 33, 500])
def test_windows_cover_a_line_and_overlap(window: int, more: int) -> None:
    starts = starts_on_a_line(window + more, window=window)
    assert starts[0] == 0
    assert starts[-1] == more
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(0 < gap <= window - least_overlap(window) for gap in gaps)
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


@pytest.mark.parametrize("window", [2, 7, 100, 128])
@pytest.mark.parametrize("frames", [2, 7, 75, 99, 100, 128, 500])
def test_windows_cover_a_ring_and_overlap(window: int, frames: int) -> None:
    starts = starts_on_a_ring(frames, window=window)
    gaps = [after - before for before, after in itertools.pairwise([*starts, frames])]
    assert starts[0] == 0
    assert all(0 < gap <= window - least_overlap(window) for gap in gaps)


def test_the_ramps_of_neighbours_add_up_to_1() -> None:
    weights = ramps(100, 30)
    assert bool((weights > 0).all())
    torch.testing.assert_close(weights, weights.flip(0))
    torch.testing.assert_close(weights[:30] + weights[-30:], torch.ones_like(weights[:30]))
    torch.testing.assert_close(weights[30:70], torch.ones_like(weights[30:70]))


@pytest.mark.parametrize("frames", [40, 41, 97, 300])
def test_windows_of_independent_frames_equal_the_whole(frames: int) -> None:
    x = noise(2, 3, frames) * 5
    found = line(pointwise, frames=frames, window=40)(x, 5.0)
    torch.testing.assert_close(found, pointwise(x, 5.0))


@pytest.mark.parametrize("frames", [5, 13, 30, 39, 40, 41, 97, 300])
@pytest.mark.parametrize("origin", [0, 3, 29])
def test_a_ring_of_independent_frames_equals_the_whole(frames: int, origin: int) -> None:
    x = noise(2, 3, frames) * 5
    found = ring(pointwise, frames=frames, window=40, origin=origin)(x, 5.0)
    torch.testing.assert_close(found, pointwise(x, 5.0))


@pytest.mark.parametrize("sampler", sampler_names())
def test_every_sampler_of_windows_equals_that_of_the_whole(sampler: str) -> None:
    frames, seeds = 90, [3, 4]
    x = noise(2, 3, frames) * SIGMAS[0]
    results = []
    for denoiser in (pointwise, line(pointwise, frames=frames, window=40),
                     ring(pointwise, frames=frames, window=40,
                          origin=golden_offsets(SIGMAS, frames))):  # fmt: skip
        steps = StepNoise(seeds, (3, frames))
        results.append(get_sampler(sampler)(denoiser, x, SIGMAS, noise=steps))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


def test_windows_of_a_stationary_field_equal_the_whole() -> None:
    """What a window does not see lies many correlation lengths away where it counts."""
    frames, window = 300, 100
    field = covariance(frames, 1.0)
    x = noise(1, 1, frames)
    whole, part = gaussian(field), gaussian(field[:window, :window])
    for sigma in (0.05, 0.5, 2.0):
        found = line(part, frames=frames, window=window)(x, sigma)
        expected = whole(x, sigma)
        # Weights of sin^2 leave next to nothing of the two frames at the ends of a window.
        assert (found - expected).abs().max() < 0.005 * expected.abs().max()
        ends = line(part, frames=frames, window=window)(x, sigma)[..., [0, -1]]
        torch.testing.assert_close(ends, expected[..., [0, -1]])


@pytest.mark.parametrize("length", [2.0, 32.0, 128.0, 512.0])
def test_overlaps_keep_their_level(length: float) -> None:
    """The spread of samples, exactly: a linear denoiser's are a matrix times the noise.

    Averages of x0 lose energy where windows disagree, which they do the more, the further the
    correlation reaches beyond a window: by 0.7 dB where that is four windows.
    """
    frames, window = 320, 128
    part = gaussian(covariance(window, length))
    columns = torch.eye(frames, dtype=torch.float64)[:, None] * SIGMAS[0]
    samples = dpmpp_2m(line(part, frames=frames, window=window), columns, SIGMAS)
    levels = 10 * samples[:, 0].square().sum(dim=0).log10()
    starts = starts_on_a_line(frames, window=window)
    overlap = levels[starts[1] : window].median()
    centre = levels[window : starts[2]].median()
    assert abs(float(overlap - centre)) < 1.5
    assert abs(float(centre)) < 1.5


@pytest.mark.parametrize("frames", [20, 64, 150])
def test_moving_the_noise_around_the_ring_moves_the_result(frames: int) -> None:
    """To rounding: every window sees the same numbers, at another place."""
    part = gaussian(covariance(64, 8.0))
    offsets = golden_offsets(SIGMAS, frames)
    x = noise(1, 2, frames) * SIGMAS[0]
    plain = dpmpp_2m(ring(part, frames=frames, window=64, origin=offsets), x, SIGMAS)
    moved = ring(part, frames=frames, window=64, origin=lambda sigma: offsets(sigma) + 7)
    found = dpmpp_2m(moved, x.roll(7, -1), SIGMAS)
    torch.testing.assert_close(found, plain.roll(7, -1))
    assert (found - plain).abs().max() > 0.1


def test_a_ring_has_no_place_that_is_unlike_others() -> None:
    """The spread of samples is the same in every frame, though windows have ends."""
    frames, window = 150, 64
    part = gaussian(covariance(window, 16.0))
    columns = torch.eye(frames, dtype=torch.float64)[:, None] * SIGMAS[0]
    turning = ring(part, frames=frames, window=window, origin=golden_offsets(SIGMAS, frames))
    still = ring(part, frames=frames, window=window)
    spreads = []
    for denoiser in (turning, still):
        samples = dpmpp_2m(denoiser, columns, SIGMAS)
        levels = 10 * samples[:, 0].square().sum(dim=0).log10()
        spreads.append(float(levels.max() - levels.min()))
    assert spreads[0] < 0.1
    assert spreads[0] < spreads[1]


def test_neighbours_on_the_ring_are_correlated_across_its_joint() -> None:
    frames, window = 100, 64
    part = gaussian(covariance(window, 16.0))
    columns = torch.eye(frames, dtype=torch.float64)[:, None] * SIGMAS[0]
    turning = ring(part, frames=frames, window=window, origin=golden_offsets(SIGMAS, frames))
    samples = dpmpp_2m(turning, columns, SIGMAS)[:, 0]
    correlation = torch.corrcoef(samples.T)
    inside = correlation.diagonal(1)
    assert float(correlation[-1, 0]) == pytest.approx(float(inside.mean()), abs=0.02)


def test_offsets_differ_from_level_to_level_and_follow_from_it_alone() -> None:
    offsets = golden_offsets(SIGMAS, 1000)
    found = [offsets(sigma) for sigma in SIGMAS[:-1]]
    assert found[0] == 0
    assert len(set(found)) == len(found)
    assert found == [offsets(sigma) for sigma in SIGMAS[:-1]]
    assert found == [offsets(float(torch.tensor(sigma))) for sigma in SIGMAS[:-1]]
    assert offsets(math.inf) == offsets(1000.0)
    assert golden_offsets([math.inf, 2.0, 0.0], 1000)(math.inf) == 0
    # Spread evenly: no two neighbours of the thirty are further apart than twice the mean.
    gaps = [after - before for before, after in itertools.pairwise([*sorted(found), 1000])]
    assert max(gaps) < 2 * 1000 / len(found)


def test_denoisers_that_share_a_window_are_mixed_by_their_presence() -> None:
    first = torch.linspace(1, 0, 90)[None, None]
    windows = [
        Window(start, lambda x, _, value=value: torch.full_like(x, value), share)
        for start in starts_on_a_line(90, window=40)
        for value, share in ((1.0, first), (5.0, 1 - first))
    ]
    found = windowed(windows, frames=90, window=40)(noise(2, 3, 90), 1.0)
    expected = 5 - 4 * torch.linspace(1, 0, 90, dtype=torch.float64)
    torch.testing.assert_close(found, expected.expand_as(found))


def test_a_denoiser_that_counts_nowhere_is_not_asked() -> None:
    asked = []

    def denoiser(x: Tensor, sigma: float) -> Tensor:
        asked.append(sigma)
        return x

    share = torch.zeros(1, 1, 90)
    share[..., 30:] = 1
    windows = [Window(0, pointwise, 1 - share), Window(50, pointwise), Window(0, denoiser, share)]
    windowed(windows, frames=90, window=40, offset=lambda sigma: 40 if sigma > 1 else 0)(
        noise(1, 1, 90), 0.5
    )
    assert asked == [0.5]
    only_first = [Window(0, pointwise, 1 - share), Window(0, denoiser, share * 0)]
    windowed(only_first, frames=90, window=90)(noise(1, 1, 90), 0.5)
    assert asked == [0.5]
