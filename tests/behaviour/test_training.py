"""Behaviours 14, 15, 17 and 18: what a training step of the diffusion model is given and keeps."""

import math
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import soundfile
import torch
from torch import Tensor, nn

from stable_audio_open.autoencoder.bottleneck import Posterior
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.data.cache import encode_recordings
from stable_audio_open.data.latents import LatentDataset
from stable_audio_open.data.manifest import Recording
from stable_audio_open.training.ema import EmaSchedule
from stable_audio_open.training.optimisation import OptimizerSettings
from stable_audio_open.training.randomness import BatchRandomness
from stable_audio_open.training.tasks.diffusion import DiffusionTraining

pytestmark = pytest.mark.numerical

RATE, HOP = 1000, 8


class Step(NamedTuple):
    """What the transformer was given in a training step, what it answered, and the loss."""

    x: Tensor
    t: Tensor
    told: Conditioning
    answer: Tensor
    loss: Tensor


@pytest.fixture
def training(
    tiny_model_config: DiffusionModelConfig,
    tiny_text_encoder: TextEncoder,
    randomise: Callable[..., None],
) -> DiffusionTraining:
    model = build_model(tiny_model_config, text_encoder=tiny_text_encoder)
    randomise(model.transformer)
    randomise(model.conditioner.numbers, seed=1)
    task = DiffusionTraining(
        model=model.float(),
        optimisation=OptimizerSettings(
            lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, inv_gamma=1e6, power=0.5, warmup=0.5
        ),
        guidance_dropout=0.4,
        ema=EmaSchedule(decay=0.9, power=0.75),
        header={},
        seed=3,
    )
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    return task


def batch(items: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "latents": torch.randn(items, 8, 12, generator=generator),
        "prompt": ["deep kick drum", "soft bell"] * (items // 2),
        "seconds_start": torch.arange(items).double(),
        "seconds_total": torch.full((items,), 20.0).double(),
    }


def take(task: DiffusionTraining, given: dict[str, Any], index: int = 0) -> Step:
    seen: list[tuple[Any, Tensor]] = []
    hook = task.model.transformer.register_forward_hook(
        lambda _, inputs, out: seen.append((inputs, out))
    )
    loss = task.training_step(given, index)
    hook.remove()
    (((x, t, told), answer),) = seen
    return Step(x, t, told, answer, loss)


def full(task: DiffusionTraining, given: dict[str, Any]) -> Conditioning:
    """The conditioning without dropout."""
    conditioner = task.model.conditioner
    rows = zip(given["prompt"], given["seconds_start"], given["seconds_total"], strict=True)
    told: Conditioning = conditioner(
        conditioner.prepare(
            [
                {"prompt": prompt, "seconds_start": float(start), "seconds_total": float(total)}
                for prompt, start, total in rows
            ]
        )
    )
    return told


def draws(task: DiffusionTraining, given: dict[str, Any], index: int) -> Tensor:
    """The latents that a step has noised, by closed form from what the transformer was given."""
    step, items = take(task, given, index), len(given["latents"])
    random = BatchRandomness(seed=3, step=0, batch=index, items=items)
    random.normal(*given["latents"].shape[1:])  # of the draw
    noise = random.normal(*given["latents"].shape[1:])
    angle = step.t[:, None, None] * math.pi / 2
    kept = step.t < 0.9  # the others have next to none of the latents left
    return ((step.x - angle.sin() * noise) / angle.cos())[kept]


def test_latents_are_fresh_draws_from_the_posterior_at_every_step(
    training: DiffusionTraining,
) -> None:
    training.draws = True
    given = batch(50)
    generator = torch.Generator().manual_seed(1)
    mean = given["latents"][:1].expand(50, -1, -1)
    std = torch.rand(1, 8, 12, generator=generator).expand(50, -1, -1) + 0.1
    given |= {"latents": mean, "std": std}
    found = torch.cat([draws(training, given, index) for index in range(8)])
    assert len(found) > 300
    noise = (found - mean[0]) / std[0]
    torch.testing.assert_close(noise.mean(dim=0), torch.zeros(8, 12), rtol=0, atol=0.25)
    torch.testing.assert_close(noise.std(dim=0), torch.ones(8, 12), rtol=0, atol=0.2)
    assert len({round(float(x), 3) for x in noise[:, 0, 0]}) > 250  # none is used twice


def test_draws_are_those_of_the_whole_batch_on_any_number_of_processes(
    training: DiffusionTraining,
) -> None:
    training.draws = True
    given = batch(4) | {"std": torch.full((4, 8, 12), 0.5)}
    whole = training.latents(given, BatchRandomness(seed=3, step=7, batch=2, items=4))
    for rank in (0, 1):
        random = BatchRandomness(seed=3, step=7, batch=2, items=2, rank=rank, processes=2)
        part = {name: given[name][rank::2] for name in ("latents", "std")}
        assert torch.equal(training.latents(part, random), whole[rank::2])
    assert not torch.equal(
        training.latents(given, BatchRandomness(seed=3, step=8, batch=2, items=4)), whole
    )


def test_means_are_learnt_where_they_are_asked_for_and_draws_need_deviations(
    training: DiffusionTraining,
) -> None:
    given = batch(4) | {"std": torch.full((4, 8, 12), 0.5)}
    random = BatchRandomness(seed=3, step=0, batch=0, items=4)
    assert training.latents(given, random) is given["latents"]
    training.draws = True
    with pytest.raises(ValueError, match=r"the batch holds means .* training\.latents=means$"):
        training.latents(batch(4), random)


def test_14_a_step_drops_whole_items_at_the_given_rate(training: DiffusionTraining) -> None:
    given, dropped = batch(50), []
    expected = full(training, given)
    for index in range(8):
        told = take(training, given, index).told
        torch.testing.assert_close(told.global_, expected.global_)
        empty = told.cross.flatten(1).count_nonzero(dim=1) == 0
        torch.testing.assert_close(told.cross[~empty], expected.cross[~empty])
        dropped.append(int(empty.sum()))
    assert all(0 < count < 50 for count in dropped)  # item by item, not a batch at a time
    assert sum(dropped) / 400 == pytest.approx(0.4, abs=0.1)  # four standard errors


def test_15_loss_is_the_plain_mean_square_error_of_v(training: DiffusionTraining) -> None:
    given = batch(6)
    step = take(training, given)
    angle = (math.pi / 2 * step.t.double())[:, None, None]
    assert step.t.unique().numel() == 6
    x, x_t = given["latents"].double(), step.x.double()
    eps = (x_t - angle.cos() * x) / angle.sin()
    v = angle.cos() * eps - angle.sin() * x
    squares = (step.answer.double() - v) ** 2
    torch.testing.assert_close(
        step.loss.double(), squares.sum() / squares.numel(), rtol=1e-4, atol=0
    )
    assert float(eps.std()) == pytest.approx(1, abs=0.15)


def test_15_timesteps_of_successive_steps_share_out_the_range(training: DiffusionTraining) -> None:
    drawn = torch.cat([take(training, batch(4), index).t for index in range(4)])
    assert sorted((drawn * 16).long().tolist()) == list(range(16))


class Averages(nn.Module):
    """Latents are the averages of `HOP` samples."""

    downsampling, sample_rate, scale = HOP, RATE, 1.0

    def posterior(self, audio: Tensor, *, chunked: bool) -> Posterior:
        mean = nn.functional.avg_pool1d(audio, HOP)
        return Posterior(mean, torch.ones_like(mean))


def windows(folder: Path, seconds: Sequence[float], *, window: int = 1) -> LatentDataset:
    """Windows of so many seconds of ramps that never reach 0."""
    recordings = []
    for number, length in zip(count(), seconds):
        time = torch.arange(round(length * RATE))
        samples = 0.1 + time / 10_000
        soundfile.write(folder / f"{number}.wav", samples.numpy(), RATE, subtype="FLOAT")
        recordings.append(Recording(file=f"{number}.wav", caption="ramp"))
    latents = encode_recordings(
        autoencoder=Averages(),
        recordings=recordings,
        folder=folder,
        cache=folder / "cache",
        channels=1,
        window_samples=window * RATE,
    )
    return LatentDataset(
        recordings=recordings,
        latents=latents,
        window=window * RATE // HOP,
        downsampling=HOP,
        sample_rate=RATE,
        crops_per_recording=20,
    )


def test_17_seconds_are_the_floor_of_the_offset_and_the_ceiling_of_the_file(
    tmp_path: Path,
) -> None:
    dataset, starts = windows(tmp_path, [7.3]), set()
    for epoch in range(5):
        dataset.set_epoch(epoch)
        for item in (dataset[index] for index in range(len(dataset))):
            first = (float(item["latents"][0, 0]) - 0.1) * 10_000  # mean sample number of a latent
            offset = round(first - (HOP - 1) / 2) / RATE
            assert item["seconds_start"] == math.floor(offset)
            assert item["seconds_total"] == 8
            starts.add(item["seconds_start"])
    assert starts == {0, 1, 2, 3, 4, 5, 6}


def test_17_a_short_file_is_followed_by_silence_and_keeps_its_own_length(tmp_path: Path) -> None:
    dataset = windows(tmp_path, [0.4, 1.2, 2.0], window=3)
    for index, (seconds, latents) in enumerate([(1, 50), (2, 150), (2, 250)]):
        item = dataset[index]
        assert (item["seconds_start"], item["seconds_total"]) == (0, seconds)
        assert item["latents"].shape == (1, 375)
        assert item["latents"][:, :latents].all()
        assert item["latents"][:, latents:].count_nonzero() == 0


def test_18_average_covers_the_transformer_alone(training: DiffusionTraining) -> None:
    keys = {key.removeprefix("ema.") for key in training.state_dict() if key.startswith("ema.")}
    assert keys == set(training.model.transformer.state_dict())
    with training.averaged() as averaged:
        assert averaged.transformer is training.ema
        assert averaged.transformer is not training.model.transformer
        assert averaged.autoencoder is training.model.autoencoder
        assert averaged.conditioner is training.model.conditioner
