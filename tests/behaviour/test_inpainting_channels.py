"""A transformer that is told which latents are kept."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.dit import DiffusionTransformer, inpainting_channels
from stable_audio_open.diffusion.objective import drop_conditions

pytestmark = pytest.mark.numerical

SIZES = {"latent_channels": 5, "width": 32, "depth": 2, "heads": 4, "context_width": 16}


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def conditioning(known: Tensor | None = None) -> Conditioning:
    return Conditioning(cross=normal(2, 4, 16, seed=1), global_=normal(2, 6, seed=2), known=known)


def known() -> Tensor:
    kept = (normal(2, 1, 9, seed=3) > 0).double()
    return inpainting_channels(normal(2, 5, 9, seed=4), kept)


@pytest.fixture
def plain(randomise: Callable[..., None]) -> DiffusionTransformer:
    transformer = DiffusionTransformer(**SIZES, global_width=6)
    randomise(transformer)
    return transformer


@pytest.fixture
def inpainting(randomise: Callable[..., None]) -> DiffusionTransformer:
    transformer = DiffusionTransformer(**SIZES, global_width=6, inpainting=True)
    randomise(transformer)
    return transformer


X, T = normal(2, 5, 9), torch.tensor([0.3, 0.8])


def test_the_mask_comes_first_and_then_what_it_keeps() -> None:
    latents, kept = normal(2, 5, 9), torch.zeros(2, 1, 9, dtype=torch.float64)
    kept[1, :, 3:] = 1
    found = inpainting_channels(latents, kept)
    assert found.shape == (2, 6, 9)
    assert torch.equal(found[:, :1], kept)
    assert torch.equal(found[1, 1:, 3:], latents[1, :, 3:])
    assert not found[0].any()
    assert not found[1, :, :3].any()
    assert torch.equal(
        inpainting_channels(latents, kept[1:]),
        inpainting_channels(latents, kept[1:].expand(2, -1, -1)),
    )


def test_x_mask_and_kept_latents_enter_side_by_side(inpainting: DiffusionTransformer) -> None:
    """By hand: what the blocks are given is a product with all 11 channels."""
    seen: list[Tensor] = []
    inpainting.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    inpainting(X, T, conditioning(known()))
    side_by_side = torch.cat((X, known()), dim=1)
    mixed = side_by_side + torch.einsum(
        "oi,bif->bof", inpainting.input_conv.weight[..., 0], side_by_side
    )
    wanted = torch.einsum("wi,bif->bfw", inpainting.input_projection.weight, mixed)
    torch.testing.assert_close(seen[0][:, 1:], wanted)
    assert inpainting.input_conv.weight.shape == (11, 11, 1)
    assert inpainting.input_projection.weight.shape == (32, 11)
    assert inpainting.output_conv.weight.shape == (5, 5, 1)


def test_nothing_kept_is_zeros(inpainting: DiffusionTransformer) -> None:
    zeros = torch.zeros(2, 6, 9, dtype=torch.float64)
    told = inpainting(X, T, conditioning(zeros))
    assert torch.equal(inpainting(X, T, conditioning()), told)
    assert not torch.allclose(inpainting(X, T, conditioning(known())), told)


def test_a_model_without_channels_is_told_in_vain(plain: DiffusionTransformer) -> None:
    assert torch.equal(plain(X, T, conditioning(known())), plain(X, T, conditioning()))


def test_new_channels_start_at_0(plain: DiffusionTransformer) -> None:
    before = plain(X, T, conditioning())
    plain.add_inpainting_channels()
    assert plain.known_channels == 6
    torch.testing.assert_close(plain(X, T, conditioning()), before)
    torch.testing.assert_close(plain(X, T, conditioning(known())), before)
    plain(X, T, conditioning(known())).square().mean().backward()
    added = plain.input_projection.weight.grad[:, 5:]
    assert float(added.abs().min()) > 0


def test_both_halves_of_guidance_are_told(inpainting: DiffusionTransformer) -> None:
    one = conditioning(known())
    bound = ConditionedTransformer(
        inpainting, conditioning(), negative=None, times=[0.3], frames=9, known=known()
    )
    t = torch.tensor([0.3, 0.3])
    conditional, null = bound.pair(X, 0.3)
    torch.testing.assert_close(conditional, inpainting(X, t, one))
    dropped = drop_conditions(one, torch.tensor([True, True]))
    torch.testing.assert_close(null, inpainting(X, t, dropped))
    torch.testing.assert_close(bound.conditional(X, 0.3), conditional)
