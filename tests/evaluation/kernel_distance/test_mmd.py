"""The squared MMD of vectors, against closed forms and loops."""

import math
import re
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.evaluation.kernel_distance.bandwidth import MOST_VECTORS, median_distance
from stable_audio_open.evaluation.kernel_distance.mmd import compare, squared_mmd
from stable_audio_open.evaluation.kernel_distance.sample import Sample, make_sample
from stable_audio_open.evaluation.result import UnmeasurableError
from tests.gaussian_sets import normal, true_distance
from tests.unchecked import unchecked

pytestmark = pytest.mark.numerical


def kernel(x: Tensor, y: Tensor, bandwidth: float) -> float:
    return math.exp(-float((x.double() - y.double()).square().sum()) / (2 * bandwidth**2))


def by_hand(generated: Tensor, reference: Tensor, bandwidth: float) -> float:
    """The closed form of the unbiased estimate, in loops."""

    def within(vectors: Tensor) -> float:
        pairs = list(combinations(vectors, 2))
        return sum(kernel(x, y, bandwidth) for x, y in pairs) / len(pairs)

    between = [kernel(x, y, bandwidth) for x in generated for y in reference]
    return within(generated) + within(reference) - 2 * sum(between) / len(between)


def test_it_is_the_closed_form_of_loops() -> None:
    generated, reference = normal(7, 3, seed=0, mean=0.4), normal(9, 3, seed=1)
    found = squared_mmd(generated, reference, bandwidth=1.3)
    assert found == pytest.approx(by_hand(generated, reference, 1.3), rel=1e-12)
    width = median_distance(reference).value
    assert squared_mmd(generated, reference) == squared_mmd(generated, reference, bandwidth=width)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "mean", "deviation"),
    [(1, 1.0, 1.0), (4, 0.0, 1.0), (4, 0.5, 1.0), (8, 0.0, 2.0), (20, 0.1, 1.1)],
)
def test_the_mean_over_draws_is_the_closed_form_of_two_gaussians(
    width: int, mean: float, deviation: float
) -> None:
    """Of means apart, of other widths, and of equal distributions, whose distance is 0."""
    generator, bandwidth = torch.Generator().manual_seed(0), math.sqrt(2 * width)
    draws = torch.tensor(
        [
            squared_mmd(
                mean + deviation * torch.randn(12, width, generator=generator),
                torch.randn(15, width, generator=generator),
                bandwidth=bandwidth,
            )
            for _ in range(300)
        ],
        dtype=torch.float64,
    )
    error = float(draws.std()) / math.sqrt(len(draws))
    assert float(draws.mean()) == pytest.approx(
        true_distance(width, mean, deviation, bandwidth), abs=3 * error
    )
    # Each vector's kernel with itself would raise it by 1 - E k, about 0.4, of so many.
    assert 3 * error < 0.5 * 0.4 * (1 / 12 + 1 / 15)
    if (mean, deviation) == (0.0, 1.0):
        assert 0.4 < float((draws < 0).double().mean()) < 0.7


def test_order_and_tiles_make_no_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = normal(50, 6, seed=0, mean=0.3), normal(40, 6, seed=1)
    units = torch.randint(20, (50,), generator=generator)
    reference = make_sample(theirs, torch.arange(40) + 10)
    whole = compare(make_sample(ours, units), reference, 3.0)
    order = torch.randperm(50, generator=generator)
    for block in (1, 7, 16, 1000):
        sample = make_sample(ours[order], units[order])
        found = compare(sample, reference, 3.0, block=block)
        torch.testing.assert_close(tuple(found.distance), tuple(whole.distance))
        torch.testing.assert_close(found.distance_of_all_pairs, whole.distance_of_all_pairs)


def test_vectors_far_from_the_origin_lose_nothing() -> None:
    ours, theirs = normal(30, 6, seed=0, mean=0.3).double(), normal(40, 6, seed=1).double()
    near = squared_mmd(ours, theirs)
    torch.testing.assert_close(squared_mmd(ours + 1e6, theirs + 1e6), near, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(squared_mmd(1e6 * ours, 1e6 * theirs), near)


def test_pairs_of_one_recording_do_not_count() -> None:
    """In loops: windows of a recording, and the generation with the reference of its id."""
    values, others = normal(8, 3, seed=0), normal(6, 3, seed=1, mean=0.5)
    units, other_units = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3]), torch.tensor([1, 1, 2, 4, 4, 5])
    sample, other = make_sample(values, units), make_sample(others, other_units)

    def mean(x: Tensor, x_units: Tensor, y: Tensor, y_units: Tensor) -> float:
        found = [
            kernel(x[i], y[j], 2.0)
            for i in range(len(x))
            for j in range(len(y))
            if x_units[i] != y_units[j]
        ]
        return sum(found) / len(found)

    by_loops = (
        mean(values, units, values, units)
        + mean(others, other_units, others, other_units)
        - 2 * mean(values, units, others, other_units)
    )
    found = compare(sample, other, 2.0)
    assert found.distance.value == pytest.approx(by_loops, rel=1e-12)
    assert found.distance_of_all_pairs == pytest.approx(by_hand(values, others, 2.0), rel=1e-12)


def test_a_set_is_at_0_from_itself() -> None:
    """Its recordings have the same ids; without them the closed form goes below 0."""
    sample = make_sample(normal(20, 4, seed=0))
    found = compare(sample, sample, 2.0, against=sample)
    torch.testing.assert_close(tuple(found.distance), (0.0, 0.0, 0.0))
    torch.testing.assert_close(found.difference, found.distance)
    assert found.difference is not None
    assert found.distance_of_all_pairs < -0.01


def test_the_bandwidth_is_the_median_distance() -> None:
    corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert median_distance(corners) == (pytest.approx(4.0, rel=1e-12), 3, False)
    # Distances 1, 1, 2, 3, 4, 5, of which the middle two count; and the only one.
    assert median_distance(torch.tensor([[0.0], [1.0], [2.0], [5.0]])).value == pytest.approx(2.5)
    assert median_distance(torch.tensor([[0.0], [7.0]])).value == pytest.approx(7.0, rel=1e-12)


@pytest.mark.slow
def test_the_bandwidth_of_many_vectors_is_that_of_a_seeded_draw() -> None:
    vectors = normal(MOST_VECTORS + 500, 4, seed=0)
    first, again, other = (median_distance(vectors, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.vectors, first.drawn) == (MOST_VECTORS, True)
    assert first.value != other.value
    assert first.value == pytest.approx(other.value, rel=0.02)
    # |x - y|^2 is twice a chi-square of 4 degrees of freedom, whose median is 3.357.
    assert first.value == pytest.approx(math.sqrt(2 * 3.357), rel=0.02)
    exact = median_distance(vectors[:MOST_VECTORS])
    assert (exact.vectors, exact.drawn) == (MOST_VECTORS, False)


@pytest.mark.parametrize(
    ("generated", "reference", "message"),
    [
        (torch.rand(1, 3), torch.rand(4, 3),
         "a kernel distance needs at least 2 recordings in a set, there is 1; add recordings"),
        (torch.rand(4, 3), torch.rand(1, 3),
         "a kernel distance needs at least 2 recordings in a set, there is 1; add recordings"),
        (torch.rand(4, 3), torch.full((4, 3), 0.1),
         "half of the vectors' pairs or more are equal, so that their median distance is 0; give "
         "other recordings than copies of one, or silence"),
        (torch.rand(4, 3), torch.tensor([[0.0], [0.0], [0.0], [0.0], [1.0]]).expand(5, 3),
         "half of the vectors' pairs or more are equal, so that their median distance is 0; give "
         "other recordings than copies of one, or silence"),
    ],
)  # fmt: skip
def test_sets_that_give_no_figure_are_refused(
    generated: Tensor, reference: Tensor, message: str
) -> None:
    with pytest.raises(UnmeasurableError, match=f"^{re.escape(message)}$"):
        squared_mmd(generated, reference)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e200])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    """The square of the last would be none in float64."""
    vectors = torch.rand(4, 3, dtype=torch.float64)
    vectors[2, 1] = number
    message = "^vectors must be finite, got NaN or infinity; check the embedder$"
    for sets in ((vectors, torch.rand(4, 3)), (torch.rand(4, 3), vectors)):
        with pytest.raises(ValueError, match=message):
            squared_mmd(*sets)


def test_vectors_of_other_widths_are_refused() -> None:
    message = (
        "^cannot compare vectors of 3 numbers with vectors of 2; use one embedder with the same "
        "channels for both$"
    )
    with pytest.raises(ValueError, match=message):
        squared_mmd(torch.rand(4, 3), torch.rand(4, 2))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"resamples": 0}, "0 resamples make no interval; give at least 100"),
        ({"resamples": 99}, "99 resamples make no interval; give at least 100"),
        ({"resamples": 100_001}, "resamples must be at most 100,000, got 100,001"),
        ({"confidence": 1.0}, "confidence must be at least 0.5 and below 1, got 1; 0.95 is usual"),
        ({"confidence": 95.0}, "confidence must be at least 0.5 and below 1, got 95; 0.95 is us"),
        ({"confidence": math.nan}, "confidence must be at least 0.5 and below 1, got nan; 0.95 is"),
    ],
)
def test_intervals_that_make_no_sense_are_refused(asked: dict[str, float], message: str) -> None:
    sample: Sample = make_sample(torch.rand(4, 3))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        compare(sample, sample, 1.0, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"resamples": 1e3}, "resamples must be an integer, got 1000.0 (float)"),
        ({"resamples": "1000"}, "resamples must be an integer, got '1000' (str)"),
        ({"confidence": "0.95"}, "confidence must be a number, got '0.95' (str)"),
    ],
)
def test_arguments_of_another_type_are_told(asked: dict[str, Any], message: str) -> None:
    check = unchecked("stable_audio_open.evaluation.kernel_distance.mmd").check_resampling
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        check(**({"resamples": 100, "confidence": 0.5} | asked))
