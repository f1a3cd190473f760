import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from stable_audio_open.evaluation.frechet.extrapolation import extrapolate
from stable_audio_open.evaluation.frechet.gaussian import (
    Gaussian,
    contributions,
    fit_gaussian,
    frechet_distance,
)

pytestmark = pytest.mark.numerical


def vectors(count: int, width: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, width, generator=generator, dtype=torch.float64)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return scale * noise @ mixing + torch.randn(width, generator=generator, dtype=torch.float64)


def gaussian(mean: list[float], deviations: list[float]) -> Gaussian:
    spread = torch.tensor(deviations, dtype=torch.float64).square().diag()
    return Gaussian(torch.tensor(mean, dtype=torch.float64), spread, 100)


def test_two_gaussians_along_the_axes_have_a_closed_form() -> None:
    first, second = gaussian([0, 1, 2], [1, 2, 3]), gaussian([1, 1, 0], [2, 0.5, 3])
    by_hand = 1 + 0 + 4 + (1 - 2) ** 2 + (2 - 0.5) ** 2 + 0
    assert frechet_distance(first, second) == pytest.approx(by_hand, rel=1e-12)


def test_a_gaussian_that_is_one_point_has_a_closed_form() -> None:
    point, cloud = gaussian([3, 4], [0, 0]), gaussian([0, 0], [1, 2])
    assert frechet_distance(point, cloud) == pytest.approx(25 + 1 + 4, rel=1e-12)


def test_fit_is_the_mean_and_covariance_in_float64() -> None:
    data = vectors(50, 4)
    found = fit_gaussian(data)
    torch.testing.assert_close(found.mean, data.mean(dim=0))
    torch.testing.assert_close(found.covariance, data.T.cov())
    assert fit_gaussian(data.float()).covariance.dtype == torch.float64


@pytest.mark.parametrize("count", [5, 20, 400])
def test_a_set_is_at_no_distance_from_itself_however_few_windows(count: int) -> None:
    found = fit_gaussian(vectors(count, 20))
    distance = frechet_distance(found, found)
    assert 0 <= distance < 1e-9 * float(found.covariance.trace())


@pytest.mark.parametrize("seed", range(20))
def test_singular_covariances_never_give_negative_distances(seed: int) -> None:
    """Few float32 windows that differ by rounding alone: where sqrtm gives complex numbers."""
    first = vectors(6, 64, seed=seed)
    second = first + 1e-7 * vectors(6, 64, seed=100 + seed)
    distance = frechet_distance(fit_gaussian(first.float()), fit_gaussian(second.float()))
    assert 0 <= distance < 1e-9 * float(fit_gaussian(first).covariance.trace())


def test_agrees_with_sqrtm_and_torchmetrics_where_they_are_sound() -> None:
    first, second = (fit_gaussian(vectors(500, 16, seed=seed)) for seed in (1, 2))
    found = frechet_distance(first, second)
    product = scipy.linalg.sqrtm((first.covariance @ second.covariance).numpy())
    traces = first.covariance.trace() + second.covariance.trace()
    apart = (first.mean - second.mean).square().sum()
    assert found == pytest.approx(float(apart + traces) - 2 * product.trace().real, rel=1e-9)
    theirs = _compute_fid(first.mean, first.covariance, second.mean, second.covariance)
    assert found == pytest.approx(float(theirs), rel=1e-9)


def test_rotation_order_and_direction_change_nothing_and_scale_enters_squared() -> None:
    first, second = vectors(60, 8, seed=1), vectors(70, 8, seed=2)
    found = frechet_distance(fit_gaussian(first), fit_gaussian(second))
    rotation = torch.linalg.qr(vectors(8, 8, seed=3)).Q
    shuffled = first[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    for ours, theirs, scale in (
        (first @ rotation, second @ rotation, 1),
        (shuffled, second, 1),
        (second, first, 1),
        (first + 5, second + 5, 1),
        (3 * first, 3 * second, 9),
    ):
        again = frechet_distance(fit_gaussian(ours), fit_gaussian(theirs))
        assert again == pytest.approx(scale * found, rel=1e-10)


def test_float32_vectors_give_the_distance_of_float64_ones() -> None:
    first, second = vectors(200, 32, seed=1), vectors(200, 32, seed=2)
    wide = frechet_distance(fit_gaussian(first), fit_gaussian(second))
    narrow = frechet_distance(fit_gaussian(first.float()), fit_gaussian(second.float()))
    assert narrow == pytest.approx(wide, rel=1e-5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.zeros(1, 3), "a covariance needs at least 2 windows, there is 1; add recordings"),
        (torch.full((3, 3), torch.nan), "vectors must be finite, got NaN or infinity; "),
    ],
)
def test_what_makes_no_gaussian_is_refused(data: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_gaussian(data)


def test_different_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot compare vectors of 2 numbers with vectors of 3"):
        frechet_distance(gaussian([0, 0], [1, 1]), gaussian([0, 0, 0], [1, 1, 1]))


@pytest.mark.slow
@pytest.mark.parametrize("width", [6, 300])
def test_contributions_are_what_leaving_a_file_out_gains(width: int) -> None:
    """To first order, with fewer windows than dimensions too."""
    files, each = 60, 4
    data = vectors(files * each, width, seed=1)
    data[:each] += 3 * data.std()  # the first file is far off
    owners = torch.arange(files).repeat_interleave(each)
    reference = fit_gaussian(vectors(400, width, seed=2))
    found = contributions(data, owners, files, reference)
    whole = frechet_distance(fit_gaussian(data), reference)
    exact = torch.tensor(
        [
            whole - frechet_distance(fit_gaussian(data[owners != file]), reference)
            for file in range(files)
        ],
        dtype=torch.float64,
    )
    pair = torch.stack([found, exact])
    assert float(pair.corrcoef()[0, 1]) > 0.9
    assert int(found.argmax()) == int(exact.argmax()) == 0


def test_extrapolation_removes_most_of_the_bias_of_few_windows() -> None:
    generator = torch.Generator().manual_seed(0)
    width = 16
    truth = Gaussian(torch.zeros(width).double(), torch.eye(width).double(), 1)
    data = torch.randn(400, width, generator=generator, dtype=torch.float64)
    found = extrapolate(data, truth, points=15, seed=0)
    biased = frechet_distance(fit_gaussian(data), truth)
    assert found.distances[-1] == pytest.approx(biased)
    assert found.sizes[0] == 100
    assert found.sizes[-1] == 400
    assert abs(found.distance) < biased / 4
    assert found.r_squared > 0.9
    assert found == extrapolate(data, truth, points=15, seed=0)
    assert found != extrapolate(data, truth, points=15, seed=1)


def test_the_line_is_that_of_least_squares() -> None:
    found = extrapolate(vectors(120, 6), gaussian([0.0] * 6, [1.0] * 6), points=9)
    x, y = 1 / np.array(found.sizes), np.array(found.distances)
    slope, limit = np.polyfit(x, y, 1)
    assert found.slope == pytest.approx(slope, rel=1e-6)
    assert found.distance == pytest.approx(limit, rel=1e-6)
    assert found.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-6)


def test_too_few_windows_for_a_line_are_refused() -> None:
    with pytest.raises(ValueError, match="15 subsets of 20 windows make no line; give at least 3"):
        extrapolate(vectors(20, 2), gaussian([0, 0], [1, 1]))


def test_vectors_too_wide_for_a_covariance_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors of 8193 numbers are too wide for a covariance"):
        fit_gaussian(torch.zeros(2, 8193))


def test_rounding_never_gives_negative_distances() -> None:
    """Of Gaussians that differ by less than rounding: a quarter of these are below 0 without."""
    for width in (1, 2, 4, 8):
        for seed in range(30):
            data = vectors(60, width, seed=seed)
            again = data + 1e-9 * vectors(60, width, seed=100 + seed)
            assert frechet_distance(fit_gaussian(data), fit_gaussian(again)) >= 0


def test_contributions_have_a_closed_form_where_the_spread_is_the_references() -> None:
    """There the mean alone pulls: m without a file is m + n_f (m - m_f) / (n - n_f)."""
    data = vectors(12, 1, seed=3)
    owners = torch.tensor([0] * 7 + [1] * 2 + [2] * 3)
    spread = data.numpy().var(ddof=1)
    reference = Gaussian(torch.tensor([0.3]).double(), torch.tensor([[spread]]).double(), 99)
    found = contributions(data, owners, 3, reference)
    mean = float(data.mean())
    expected = [2 * (mean - 0.3) * (mean - float(data[owners != file].mean())) for file in range(3)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_the_only_file_contributes_nothing() -> None:
    found = contributions(
        vectors(12, 2, seed=3), torch.zeros(12, dtype=torch.int64), 1, gaussian([0, 0], [1, 1])
    )
    torch.testing.assert_close(found, torch.zeros(1, dtype=torch.float64), atol=1e-12, rtol=0)
