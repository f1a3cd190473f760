import pytest
import torch
from torch import Tensor

from stable_audio_open.adversarial.latent_discriminator import LatentDiscriminator
from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.dit import DiffusionTransformer

FRAMES = 12


@pytest.fixture(scope="module")
def transformer() -> DiffusionTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DiffusionTransformer(
            latent_channels=4, width=16, depth=3, heads=2, context_width=8, global_width=8
        )


@pytest.fixture
def discriminator(transformer: DiffusionTransformer) -> LatentDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return LatentDiscriminator(transformer, blocks=2, channels=6)


def conditioning(seed: int, items: int = 3) -> Conditioning:
    generator = torch.Generator().manual_seed(seed)
    return Conditioning(
        cross=torch.randn(items, 5, 8, generator=generator),
        global_=torch.randn(items, 8, generator=generator),
    )


def latents(seed: int, items: int = 3) -> Tensor:
    return torch.randn(items, 4, FRAMES, generator=torch.Generator().manual_seed(seed))


TIMES = torch.tensor([0.2, 0.5, 0.9])


def test_one_score_for_each_item_whatever_the_others(discriminator: LatentDiscriminator) -> None:
    x, given = latents(0), conditioning(0)
    scores = discriminator(x, TIMES, given)
    assert scores.shape == (3,)
    for index in range(3):
        own = Conditioning(given.cross[index : index + 1], given.global_[index : index + 1])
        alone = discriminator(x[index : index + 1], TIMES[index : index + 1], own)
        torch.testing.assert_close(scores[index : index + 1], alone)


def test_latents_noise_level_and_prompt_move_the_score(discriminator: LatentDiscriminator) -> None:
    x, given = latents(0), conditioning(0)
    scores = discriminator(x, TIMES, given)
    others = (
        discriminator(latents(1), TIMES, given),
        discriminator(x, TIMES.flip(0), given),
        discriminator(x, TIMES, given._replace(cross=conditioning(1).cross)),
        discriminator(x, TIMES, given._replace(global_=conditioning(1).global_)),
    )
    for other in others:
        assert ((scores - other).abs()[[0, 2]] > 1e-4).all()


def test_its_features_are_those_of_the_transformers_first_blocks(
    transformer: DiffusionTransformer, discriminator: LatentDiscriminator
) -> None:
    seen: dict[str, list[Tensor]] = {"teacher": [], "own": []}
    hooks = [
        block.register_forward_hook(lambda *call, of=of: seen[of].append(call[2]))
        for of, blocks in (("teacher", transformer.blocks), ("own", discriminator.backbone.blocks))
        for block in blocks
    ]
    transformer(latents(0), TIMES, conditioning(0))
    discriminator(latents(0), TIMES, conditioning(0))
    for hook in hooks:
        hook.remove()
    assert (len(seen["teacher"]), len(seen["own"])) == (3, 2)
    for theirs, own in zip(seen["teacher"], seen["own"], strict=False):
        torch.testing.assert_close(own, theirs)


def test_it_is_a_trainable_copy_and_every_part_of_it_has_a_gradient(
    transformer: DiffusionTransformer,
) -> None:
    frozen = transformer.requires_grad_(False)
    own = LatentDiscriminator(frozen, blocks=2, channels=6)
    # Convolutions that start at zero leave the input's own weights with a gradient all the same.
    own(latents(0), TIMES, conditioning(0)).square().sum().backward()
    missing = [name for name, p in own.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []
    assert not any(p.grad is not None for p in transformer.parameters())
    theirs = {p.data_ptr() for p in transformer.parameters()}
    assert not theirs & {p.data_ptr() for p in own.parameters()}


def test_more_blocks_than_there_are_is_refused(transformer: DiffusionTransformer) -> None:
    with pytest.raises(ValueError, match="of 4 blocks needs a transformer of as many, which has 3"):
        LatentDiscriminator(transformer, blocks=4)
