import itertools

import torch

from stable_audio_open.training.randomness import BatchRandomness


def test_every_item_of_every_batch_has_numbers_of_its_own() -> None:
    places = list(itertools.product(range(3), repeat=3))
    drawn = {
        float(number)
        for seed, step, batch in places
        for number in BatchRandomness(seed=seed, step=step, batch=batch, items=3).normal()
    }
    assert len(drawn) == 3 * len(places)


def test_a_batch_has_the_same_numbers_again() -> None:
    first, again = (BatchRandomness(seed=1, step=2, batch=3, items=2) for _ in range(2))
    for _ in range(2):
        torch.testing.assert_close(first.normal(4, 5), again.normal(4, 5), rtol=0, atol=0)
        torch.testing.assert_close(first.uniform(), again.uniform(), rtol=0, atol=0)
    assert first.seed == again.seed


def test_processes_share_the_numbers_of_one() -> None:
    place = {"seed": 1, "step": 2, "batch": 3}
    whole = BatchRandomness(**place, items=6)
    parts = [BatchRandomness(**place, items=3, rank=rank, processes=2) for rank in range(2)]
    numbers = [whole.normal(4), whole.uniform()]
    for rank, part in enumerate(parts):
        torch.testing.assert_close(part.normal(4), numbers[0][rank::2], rtol=0, atol=0)
        torch.testing.assert_close(part.uniform(), numbers[1][rank::2], rtol=0, atol=0)
    assert len({part.seed for part in parts}) == 2


def test_numbers_have_their_distributions() -> None:
    random = BatchRandomness(seed=0, step=0, batch=0, items=4)
    normal = random.normal(100, 100)
    assert abs(float(normal.mean())) < 0.02
    assert abs(float(normal.std()) - 1) < 0.02
    many = BatchRandomness(seed=0, step=0, batch=0, items=2000).uniform()
    assert 0 <= float(many.min()) < 0.01 < 0.99 < float(many.max()) < 1
