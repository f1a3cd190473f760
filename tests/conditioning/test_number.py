import pytest
import torch

from stable_audio_open.conditioning.number import NumberConditioner

pytestmark = pytest.mark.numerical


def test_numbers_outside_the_range_are_moved_to_its_ends() -> None:
    conditioner = NumberConditioner(width=4, minimum=2, maximum=10)
    # One by one: the rows of one product may be added up in different orders.
    tokens = [conditioner(conditioner.prepare([number])).tokens for number in (-50, 2, 10, 1e6)]
    assert torch.equal(tokens[0], tokens[1])
    assert torch.equal(tokens[2], tokens[3])
    assert not torch.equal(tokens[1], tokens[2])


def test_half_precision_weights_do_not_round_the_number() -> None:
    # 300.25 and 300 are the same number in bfloat16.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conditioner = NumberConditioner(width=64, minimum=0, maximum=512)
    conditioner.projection.bfloat16()
    one, other = (conditioner(conditioner.prepare([number])).tokens for number in (300, 300.25))
    assert one.dtype == torch.bfloat16
    assert not torch.equal(one, other)


def test_it_explains_itself() -> None:
    assert "minimum=0, maximum=512" in repr(NumberConditioner(width=4, minimum=0, maximum=512))
