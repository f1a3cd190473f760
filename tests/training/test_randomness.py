import itertools

import torch

from stable_audio_open.training.randomness import batch_generator


def draw(*, seed: int, rank: int, step: int, batch: int) -> float:
    generator = batch_generator(seed=seed, rank=rank, step=step, batch=batch)
    return float(torch.randn((), generator=generator))


def test_every_batch_of_every_process_has_numbers_of_its_own() -> None:
    places = list(itertools.product(range(3), repeat=4))
    drawn = {draw(seed=a, rank=b, step=c, batch=d) for a, b, c, d in places}
    assert len(drawn) == len(places)


def test_a_batch_has_the_same_numbers_again() -> None:
    place = {"seed": 1, "rank": 2, "step": 3, "batch": 4}
    assert draw(**place) == draw(**place)
