"""Models that learn to inpaint: masks, the first step, a run, and the layouts."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from torch import Generator, Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.builders.data import diffusion_data
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.builders.run import training_run
from stable_audio_open.builders.training import diffusion_task
from stable_audio_open.checkpoint.export import save_stable_audio_tools
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.training import InpaintingConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.training.inpainting import InpaintingMasks, sounding_frames

USUAL = InpaintingMasks(whole=0.8, segments=0.1, most_segments=10)
FRAMES, LENGTH = 60, 40


def drawn(masks: InpaintingMasks, count: int, *, length: float = LENGTH) -> Tensor:
    generators = [Generator().manual_seed(seed) for seed in range(count)]
    return masks.draw(generators, [length] * count, FRAMES)[:, 0]


def runs(mask: Tensor, value: float) -> list[tuple[int, int]]:
    """Stretches (start, length) of a value."""
    padded = torch.cat((torch.zeros(1), (mask == value).float(), torch.zeros(1))).diff()
    starts, ends = (padded == 1).nonzero()[:, 0], (padded == -1).nonzero()[:, 0]
    return [(int(a), int(b - a)) for a, b in zip(starts, ends, strict=True)]


def test_shares_of_the_usual_masks() -> None:
    masks = drawn(USUAL, 4000)
    whole = (masks == 0).all(dim=1)
    segments = masks[:, -1] == 1  # behind the sound all is kept
    prefixes = ~whole & ~segments
    # A prefix of nothing, one of 41 lengths, is "whole" too.
    assert float(whole.float().mean()) == pytest.approx(0.8 + 0.1 / 41, abs=0.02)
    assert float(segments.float().mean()) == pytest.approx(0.1, abs=0.015)
    assert float(prefixes.float().mean()) == pytest.approx(0.1 * 40 / 41, abs=0.015)


def test_prefixes_have_every_length() -> None:
    masks = drawn(InpaintingMasks(whole=0, segments=0, most_segments=1), 4000)
    assert all(mask[: int(mask.sum())].all() for mask in masks)
    lengths = masks.sum(dim=1)
    assert sorted(set(lengths.tolist())) == list(range(LENGTH + 1))
    assert float(lengths.mean()) == pytest.approx(LENGTH / 2, abs=1)


def test_segments_lie_in_the_sound_and_share_it_out() -> None:
    masks = drawn(InpaintingMasks(whole=0, segments=1, most_segments=4), 2000)
    found = [runs(mask, 0) for mask in masks]
    assert {len(one) for one in found} == {1, 2, 3, 4}
    assert all(start + length <= LENGTH for one in found for start, length in one)
    singles = drawn(InpaintingMasks(whole=0, segments=1, most_segments=1), 2000)
    sizes = [runs(mask, 0)[0][1] for mask in singles]
    assert (min(sizes), max(sizes)) == (1, LENGTH)
    assert sum(sizes) / len(sizes) == pytest.approx((LENGTH + 1) / 2, abs=1)
    # In all, no more is generated than there is sound.
    assert float((masks == 0).sum(dim=1).max()) <= LENGTH


@pytest.mark.parametrize("length", [0.0, 1.0, float("inf")])
def test_lengths_at_the_limits(length: float) -> None:
    masks = drawn(InpaintingMasks(whole=0, segments=0.5, most_segments=10), 50, length=length)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}


def test_an_items_mask_is_its_own() -> None:
    masks = InpaintingMasks(whole=0.2, segments=0.4, most_segments=5)
    both = masks.draw([Generator().manual_seed(seed) for seed in (1, 2)], [30, 50], FRAMES)
    alone = masks.draw([Generator().manual_seed(2)], [50], FRAMES)
    assert torch.equal(both[1:], alone)


def test_the_sound_ends_where_the_recording_does() -> None:
    numbers = {"seconds_total": torch.tensor([3.0, 9.0]), "seconds_start": torch.tensor([1.0, 0.0])}
    assert sounding_frames(numbers, 2, rate=10.05) == [21, 91]
    assert sounding_frames({"seconds_total": torch.tensor([2.0])}, 1, rate=10) == [20]
    assert sounding_frames({}, 2, rate=10) == [float("inf")] * 2


@pytest.fixture(scope="module")
def inpainting_run(diffusion_run: DiffusionModelConfig, tiny_model_folder: Path) -> Any:
    """From a plain model to one with inpainting channels."""
    training: Any = diffusion_run.training
    return msgspec.structs.replace(
        diffusion_run,
        transformer=msgspec.structs.replace(diffusion_run.transformer, inpainting=True),
        training=msgspec.structs.replace(
            training,
            initialize=str(tiny_model_folder),
            inpainting=InpaintingConfig(whole=0.2, segments=0.4, most_segments=3),
            trainer=msgspec.structs.replace(training.trainer, name="inpainting"),
        ),
    )


@pytest.fixture(scope="module")
def last(inpainting_run: DiffusionModelConfig) -> Path:
    return run_training(inpainting_run)


@pytest.fixture(scope="module")
def trained(last: Path) -> StableAudio:
    return StableAudio.from_pretrained(last, device="cpu", use_ema=False)


def conditioning(model: Any) -> Conditioning:
    conditioner = model.conditioner
    values = {"prompt": "deep kick", "seconds_start": 0.0, "seconds_total": 1.0}
    made: Conditioning = conditioner(conditioner.prepare([values]))
    return made


def test_the_first_step_is_the_plain_models(
    inpainting_run: DiffusionModelConfig, tiny_model_folder: Path
) -> None:
    assert inpainting_run.training is not None
    model = initial_model(inpainting_run, inpainting_run.training).eval()
    plain = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    x = torch.randn(1, 8, 500, generator=Generator().manual_seed(0))
    known = torch.randn(1, 9, 500, generator=Generator().manual_seed(1))
    t = torch.tensor([0.4])
    with torch.inference_mode():
        wanted = plain.transformer(x, t, conditioning(plain))
        found = model.transformer(x, t, conditioning(model)._replace(known=known))
    torch.testing.assert_close(found, wanted)


def test_training_draws_masks(inpainting_run: DiffusionModelConfig) -> None:
    training: Any = inpainting_run.training
    model = initial_model(inpainting_run, training)
    task = diffusion_task(inpainting_run, training, model)
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    assert task.inpainting == InpaintingMasks(whole=0.2, segments=0.4, most_segments=3)
    seen: list[Tensor] = []
    project = model.transformer.project

    def watched(given: Conditioning, *, frames: int) -> Any:
        assert given.known is not None
        seen.append(given.known)
        return project(given, frames=frames)

    model.transformer.project = watched  # type: ignore[method-assign]
    run = training_run(inpainting_run)
    for _ in range(4):
        for index, batch in enumerate(diffusion_data(run, model.autoencoder).train_dataloader()):
            task.training_step(batch, index)
    kept = torch.cat(seen)[:, :1]
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert not torch.cat(seen)[:, 1:][(kept == 0).expand(-1, 8, -1)].any()


def test_channels_are_trained_and_used(trained: StableAudio, last: Path) -> None:
    assert trained.config.transformer.inpainting
    added = trained.transformer.input_projection.weight.detach()[:, 8:]
    assert float(added.abs().max()) > 0
    noise = 0.1 * torch.randn(1, 2, 12800, generator=Generator().manual_seed(0))
    request: dict[str, Any] = {"spans": [(0.2, 0.4)], "steps": 2, "seed": 1, "progress": False}
    sound = Audio(noise, 16000)
    made = trained.inpaint(sound, "deep kick", **request)
    with torch.inference_mode():
        trained.transformer.input_projection.weight[:, 8:] *= 50
        other = trained.inpaint(sound, "deep kick", **request)
        trained.transformer.input_projection.weight[:, 8:] /= 50
    inside = slice(3200, 6400)
    assert not torch.allclose(made.samples[..., inside], other.samples[..., inside])
    assert trained.generate("deep kick", steps=2, progress=False).samples.isfinite().all()


def test_layouts_keep_the_channels(
    wide_model_folder: Path, tmp_path: Path, tiny_text_encoder: Any
) -> None:
    plain = StableAudio.from_pretrained(wide_model_folder, device="cpu")
    config = msgspec.structs.replace(
        plain.config, transformer=msgspec.structs.replace(plain.config.transformer, inpainting=True)
    )
    plain.transformer.add_inpainting_channels()
    model = StableAudio(
        config=config,
        autoencoder=plain.autoencoder,
        conditioner=plain.conditioner,
        transformer=plain.transformer,
    )
    with torch.no_grad():
        model.transformer.input_projection.weight.normal_(generator=Generator().manual_seed(0))
    model.save_pretrained(tmp_path / "native")
    save_stable_audio_tools(model, config, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert tensors["model.model.preprocess_conv.weight"].shape == (17, 17, 1)
    assert tensors["model.model.transformer.project_in.weight"].shape == (128, 17)
    for name in ("native", "out"):
        back = StableAudio.from_pretrained(tmp_path / name, device="cpu")
        assert back.config.transformer == config.transformer
        for key, tensor in model.transformer.state_dict().items():
            assert torch.equal(back.transformer.state_dict()[key], tensor), key
