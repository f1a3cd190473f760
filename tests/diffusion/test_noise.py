import pytest
import torch

from stable_audio_open.diffusion.samplers import MAX_SEED, StepNoise, initial_noise
from stable_audio_open.diffusion.samplers.noise import add_noise

pytestmark = pytest.mark.numerical

SHAPE = (4, 32)


def test_initial_noise_of_an_item_depends_on_its_seed_alone() -> None:
    batch = initial_noise(SHAPE, [3, 0, MAX_SEED])
    assert batch.shape == (3, *SHAPE)
    assert batch.dtype == torch.float32
    for item, seed in zip(batch, [3, 0, MAX_SEED], strict=True):
        assert torch.equal(item[None], initial_noise(SHAPE, [seed]))
    assert not torch.equal(batch[0], batch[1])


def test_step_noise_of_an_item_depends_on_its_seed_and_step_alone() -> None:
    batch, alone = StepNoise([3, 5], SHAPE), StepNoise([5], SHAPE)
    for sigma in [9.0, 5.0, 2.0]:
        assert torch.equal(batch(sigma, 1.0)[1:], alone(sigma / 2, 0.5))


def test_no_noise_of_an_item_is_drawn_twice() -> None:
    steps = StepNoise([7], SHAPE)
    drawn = torch.stack([initial_noise(SHAPE, [7]), *(steps(2.0, 1.0) for _ in range(20))])
    assert drawn.unique().numel() > 0.99 * drawn.numel()
    covariance = drawn.flatten(1).corrcoef().fill_diagonal_(0)
    assert covariance.abs().max() < 5 / drawn[0].numel() ** 0.5


def test_noise_has_unit_variance() -> None:
    noise = StepNoise([1], (64, 1024))(2.0, 1.0)
    assert noise.mean().abs() < 5 / noise.numel() ** 0.5
    assert noise.var().item() == pytest.approx(1, abs=5 * (2 / noise.numel()) ** 0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_noise_is_the_same_on_a_gpu() -> None:
    here, there = StepNoise([1, 2], SHAPE), StepNoise([1, 2], SHAPE, "cuda")
    for _ in range(3):
        assert torch.equal(here(2.0, 1.0), there(2.0, 1.0).cpu())


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed must be between 0 and 4294967295, got {seed}"):
        initial_noise(SHAPE, [0, seed])
    with pytest.raises(ValueError, match=f"seed must be between 0 and 4294967295, got {seed}"):
        StepNoise([0, seed], SHAPE)


def test_a_batch_without_seeds_is_refused() -> None:
    with pytest.raises(ValueError, match="one seed per item of the batch, got none"):
        initial_noise(SHAPE, [])


def test_noise_for_another_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(1, 4, 32\) for \(2, 4, 32\)"):
        add_noise(torch.zeros(2, *SHAPE), StepNoise([0], SHAPE), 2.0, 1.0, amount=0.5)
