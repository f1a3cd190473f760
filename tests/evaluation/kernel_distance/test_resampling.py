"""The resamples of units, and what they make of a distance."""

import pytest
import torch

from stable_audio_open.evaluation.kernel_distance.mmd import compare, squared_mmd
from stable_audio_open.evaluation.kernel_distance.pairs import sum_pairs
from stable_audio_open.evaluation.kernel_distance.resampling import (
    Estimate,
    draw_changes,
    estimate,
)
from stable_audio_open.evaluation.kernel_distance.sample import Sample, make_sample
from tests.gaussian_sets import normal

pytestmark = pytest.mark.numerical


def sample(count: int, first: int = 0, *, seed: int = 0, mean: float = 0.0) -> Sample:
    return make_sample(normal(count, 3, seed=seed, mean=mean), torch.arange(count) + first)


def test_the_sizes_of_sets_stay_and_shared_units_are_drawn_once() -> None:
    """Ten units of the first set alone, five of both, seven of the second."""
    changes = draw_changes([sample(15), sample(12, first=10)], resamples=400, seed=0)
    assert changes.shape == (400, 22)
    for places in (slice(0, 10), slice(10, 15), slice(15, 22)):
        kind = changes[:, places]
        assert not kind.sum(dim=1).any()
        assert float(kind.var()) == pytest.approx(1 - 1 / kind.shape[1], rel=0.1)
        assert torch.equal(kind, kind.round())
        assert kind.min() == -1


def test_a_unit_that_is_the_only_one_of_its_kind_stays() -> None:
    changes = draw_changes([sample(10), sample(10, first=1)], resamples=100, seed=0)
    assert not changes[:, [0, 10]].any()
    assert changes[:, 1:10].any(dim=0).all()


def test_the_same_seed_draws_the_same() -> None:
    first, again, other = (
        draw_changes([sample(9)], resamples=100, seed=seed) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_resample_is_the_distance_with_weights() -> None:
    """By hand: the estimate without each unit, and what the changes of pairs add."""
    ours, theirs = sample(6, mean=0.5), sample(5, first=4, seed=1)
    change = torch.tensor([[1.0, -1.0, 0.0, 2.0, -1.0, -1.0, 1.0, 0.0, -1.0]])
    pairs = sum_pairs(ours, theirs, 1.5, changes=change)
    squared = torch.cdist(ours.values.double(), theirs.values.double()).square()
    kernel = torch.exp(-squared / (2 * 1.5**2))
    apart = (ours.units[:, None] != theirs.units).double()

    def mean(weight: torch.Tensor) -> torch.Tensor:
        both = weight[ours.units, None] * weight[theirs.units] * apart
        return (both * kernel).sum() / both.sum()

    whole = mean(torch.ones(9, dtype=torch.float64))
    assert pairs.mean == pytest.approx(float(whole), rel=1e-12)
    without = [mean(1 - one) for one in torch.eye(9, dtype=torch.float64)]
    torch.testing.assert_close(pairs.pull, whole - torch.stack(without))
    centred = apart * (kernel - pairs.mean)
    by_hand = change[0, ours.units].double() @ centred @ change[0, theirs.units].double()
    torch.testing.assert_close(pairs.curvature, by_hand[None] / apart.sum())


def test_copies_in_a_resample_do_not_raise_it() -> None:
    """As they do where sets are drawn with replacement and taken for new ones.

    Of n vectors drawn so, a share of 1 / n of the pairs are copies, whose kernel is 1.
    """
    ours, theirs = sample(30), sample(30, first=100, seed=1)
    found = compare(ours, theirs, 2.0).distance
    within = sum_pairs(ours, None, 2.0, changes=torch.zeros(0, 130)).mean
    raised = 2 / 30 * (1 - within)

    generator = torch.Generator().manual_seed(0)
    naive = []
    for _ in range(200):
        own, other = (torch.randint(30, (30,), generator=generator) for _ in range(2))
        naive.append(squared_mmd(ours.values[own], theirs.values[other], bandwidth=2.0))
    assert sum(naive) / 200 == pytest.approx(found.value + raised, abs=0.3 * raised)

    changes = draw_changes([ours, theirs], resamples=1000, seed=0)
    for first, second, factor in ((ours, None, 1.0), (theirs, None, 1.0), (ours, theirs, -2.0)):
        pairs = sum_pairs(first, second, 2.0, changes=changes)
        # The mean of the other part, of changes that have a mean of 0, is 0.
        assert abs(factor * float(pairs.curvature.mean())) < 0.15 * raised


def test_pairs_make_a_difference_surer() -> None:
    """The same sounds with a little noise, against others that only have the same distance."""
    theirs = sample(40, first=1000, seed=1)
    near = normal(40, 3, seed=0, mean=0.5)
    noisy = near + normal(40, 3, seed=2, deviation=0.2)
    first = make_sample(near)
    widths = []
    for units in (torch.arange(40), torch.arange(40) + 2000):
        found = compare(first, theirs, 2.0, against=make_sample(noisy, units)).difference
        assert found is not None
        widths.append(found.high - found.low)
    assert widths[0] < 0.4 * widths[1]


def test_the_difference_is_that_of_the_distances() -> None:
    theirs, first, other = sample(40, 1000), sample(30, seed=1, mean=1.0), sample(20, seed=2)
    found = compare(first, theirs, 2.0, against=other)
    back = compare(other, theirs, 2.0, against=first)
    assert found.other is not None
    assert found.difference is not None
    assert back.difference is not None
    assert found.difference.value == pytest.approx(found.distance.value - found.other.value)
    assert (found.difference.leaves_out_0, found.other.leaves_out_0) == (True, False)
    swapped = [-back.difference.value, -back.difference.high, -back.difference.low]
    torch.testing.assert_close(list(found.difference), swapped, rtol=0.15, atol=0.01)


def test_more_confidence_is_a_wider_interval() -> None:
    theirs, ours = sample(40, 1000), sample(30, seed=1, mean=1.0)
    found = [
        compare(ours, theirs, 2.0, confidence=confidence).distance for confidence in (0.5, 0.95)
    ]
    assert found[1].low < found[0].low < found[0].value < found[0].high < found[1].high


def test_nothing_that_varies_is_an_interval_of_one_number() -> None:
    changes = draw_changes([sample(9)], resamples=100, seed=0)
    pairs = sum_pairs(sample(9), None, 2.0, changes=changes)
    assert estimate([(1.0, pairs), (-1.0, pairs)], changes) == (0.0, 0.0, 0.0)


def test_two_recordings_have_an_interval_too() -> None:
    ours, theirs = sample(2, mean=1.0), sample(2, first=100, seed=1)
    for reference in (theirs, Sample(theirs.values, ours.units)):
        found = compare(ours, reference, 2.0).distance
        assert found.low <= found.value <= found.high


def test_a_set_does_not_differ_from_itself() -> None:
    """Nor does what differs by rounding, as the sums of another order do."""
    ours, theirs = sample(30, mean=0.5), sample(40, first=100, seed=1)
    same = compare(ours, theirs, 2.0, against=ours).difference
    assert same == (0.0, 0.0, 0.0)
    for first in (0.0, 1e-15, -1e-15):
        assert not Estimate(first, first, first).leaves_out_0
    assert Estimate(1e-9, 1e-10, 1e-8).leaves_out_0
