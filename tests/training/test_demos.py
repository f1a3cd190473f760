"""Demos of a real run: files, page, loggers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from stable_audio_open.audio.files import audio_info, read_audio
from stable_audio_open.audio.shown.spectrogram import draw_spectrogram
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.training import DemoConfig
from stable_audio_open.generate import generate
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.training.callbacks.demo_page import write_page, write_record
from tests.parsed_page import HOSTILE, ParsedPage

Change = Callable[..., DiffusionModelConfig]
PROMPTS = ("deep drum", 'a <b>"soft"</b> bell')


def with_demos(config: DiffusionModelConfig, **changes: Any) -> DiffusionModelConfig:
    demo = DemoConfig(
        every=2,
        steps=2,
        count=3,
        conditions=tuple(
            {"prompt": prompt, "seconds_start": 0, "seconds_total": 1} for prompt in PROMPTS
        ),
        guidance_scales=(1.0, 4.0),
    )
    demo = msgspec.structs.replace(demo, **changes)
    assert config.training is not None
    training = msgspec.structs.replace(config.training, demo=demo)
    return msgspec.structs.replace(config, training=training)


@pytest.fixture(scope="module")
def demos(diffusion_run: DiffusionModelConfig, change: Change) -> Path:
    config = change(with_demos(diffusion_run), name="demos", logger="tensorboard")
    return run_training(config).parent.parent / "demos"


@pytest.mark.slow
def test_every_prompt_at_every_guidance_scale(demos: Path) -> None:
    assert sorted(path.name for path in demos.iterdir()) == [
        "index.html",
        "step_00000002",
        "step_00000004",
    ]
    records = json.loads((demos / "step_00000004" / "demos.json").read_text())
    # Three of two prompts: round again.
    assert [record["prompt"] for record in records] == [PROMPTS[i] for i in (0, 0, 1, 1, 0, 0)]
    assert [record["guidance_scale"] for record in records] == [1.0, 4.0] * 3
    for record in records:
        info = audio_info(demos / "step_00000004" / record["audio"])
        assert (info.channels, info.sample_rate) == (2, 16000)
        assert info.duration == pytest.approx(record["seconds"]) == pytest.approx(1.0)


@pytest.mark.slow
def test_the_page_shows_all_steps_the_newest_first(demos: Path) -> None:
    page = ParsedPage(demos / "index.html")
    assert "b" not in page.by_tag, "a prompt became markup"
    sources = [*page.all("img", "src"), *page.all("audio", "src")]
    assert len(sources) == 2 * 2 * 6
    assert all((demos / source).is_file() for source in sources)
    assert page.all("audio", "aria-label")[2:4] == [PROMPTS[1]] * 2
    assert page.all("img", "alt")[2:4] == [f"spectrogram of {PROMPTS[1]}"] * 2
    assert page.text.index("Step 4") < page.text.index("Step 2")
    assert all(page.text.count(prompt) >= 2 for prompt in PROMPTS)


@pytest.mark.slow
def test_tensorboard_shows_and_plays_them(demos: Path) -> None:
    events = EventAccumulator(str(demos.parent / "logs"))
    events.Reload()
    tag = "demos/0_deep_drum_guidance_4"
    assert [event.step for event in events.Images(tag)] == [2, 4]
    assert [event.step for event in events.Audio(tag)] == [2, 4]
    assert events.Audio(tag)[0].sample_rate == 16000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_wandb_gets_sounds_and_pictures(
    diffusion_run: DiffusionModelConfig, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real package, offline: it keeps the media in the folder of the run."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    last = run_training(change(with_demos(diffusion_run), name="wandb_demos", logger="wandb"))
    wandb.finish()
    [run] = (last.parents[1] / "wandb").glob("offline-run-*")
    media = run / "files" / "media"
    # Six sounds at two steps (the two rounds of the first prompt are the same bytes).
    sounds = sorted(media.rglob("*.wav"))
    assert len(sounds) == len(list(media.rglob("*.png"))) == 12
    assert all(audio_info(sound).sample_rate == 16000 for sound in sounds)
    [log] = run.glob("*.wandb")
    written = log.read_bytes()
    for word in (b"demos/0_deep_drum_guidance_4", b"audio-file", b"image-file", b"deep drum"):
        assert word in written


@pytest.mark.slow
def test_demos_do_not_change_the_training(
    demos: Path, diffusion_run: DiffusionModelConfig, change: Change
) -> None:
    plain = run_training(change(diffusion_run, name="without_demos"))
    with_them = demos.parent / "checkpoints" / "last.ckpt"
    weights, others = (
        torch.load(path, weights_only=True)["state_dict"] for path in (plain, with_them)
    )
    assert all(torch.equal(tensor, others[key]) for key, tensor in weights.items())


@pytest.mark.slow
def test_demos_that_fail_do_not_end_the_run(
    diffusion_run: DiffusionModelConfig, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    config = change(with_demos(diffusion_run), name="failing_demos")
    assert config.training is not None
    assert config.training.trainer is not None
    folder = Path(config.training.trainer.output) / "failing_demos"
    folder.mkdir(parents=True)
    (folder / "demos").write_text("in the way")
    last = run_training(config)
    assert torch.load(last, weights_only=True)["global_step"] == 4
    assert "the demos at step 2 failed" in caplog.text


def test_a_page_of_hostile_demos(tmp_path: Path) -> None:
    folder = tmp_path / "step_00000012"
    folder.mkdir()
    demo = {"prompt": HOSTILE, "guidance_scale": 2.5, "seed": 3, "seconds": 1.25}
    demo |= {"audio": 'a" onerror="x.wav', "picture": "<p> %20.png"}
    write_record(folder, [demo])  # type: ignore[list-item]
    page = ParsedPage(write_page(tmp_path))
    assert "script" not in page.by_tag
    assert page.by_tag["h2"] == ["Step 12"]
    assert page.by_tag["figcaption"][0].startswith(HOSTILE)
    assert "guidance 2.5, 1.2 s, seed 3" in page.text
    assert page.all("audio", "aria-label") == [HOSTILE]
    assert page.all("img", "alt") == [f"spectrogram of {HOSTILE}"]
    assert [unquote(source) for source in page.all("audio", "src") + page.all("img", "src")] == [
        f"{folder.name}/{demo['audio']}",
        f"{folder.name}/{demo['picture']}",
    ]


def levels(samples: Tensor, sample_rate: int) -> tuple[Axes, np.ndarray]:
    """The axes of a picture, and what it shows: rows from the bass up."""
    [axes] = draw_spectrogram(samples, sample_rate=sample_rate).axes
    [image] = axes.images
    assert image.origin == "lower"
    assert image.get_clim() == (-80, 0)
    return axes, np.asarray(image.get_array())


def test_picture_of_a_tone_has_a_line_where_it_sounds() -> None:
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 1000 * time) * (time > 0.5)
    axes, shown = levels(tone.expand(2, -1), 16000)
    assert (axes.get_xlabel(), axes.get_xlim()) == ("seconds", (0, 1))
    frames = shown.shape[1]
    before = shown[:, : int(0.4 * frames)]
    during = shown[:, int(0.65 * frames) : int(0.9 * frames)]
    assert before.max() < -79
    assert during.max() == pytest.approx(0, abs=3)
    row = (int(during.mean(axis=1).argmax()) + 0.5) / len(shown)
    # 1 kHz is at 1000 of 2840 mel, where the axis says so.
    assert row == pytest.approx(1000 / 2840, abs=0.03)
    bottom, top = axes.get_ylim()
    ticks = {
        label.get_text(): (place - bottom) / (top - bottom)
        for label, place in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)
    }
    assert list(ticks) == ["0", "0.5", "1", "2", "4", "8"]
    assert (axes.get_ylabel(), ticks["0"], ticks["8"]) == ("kHz", 0, 1)
    assert ticks["1"] == pytest.approx(1000 / 2840, abs=1e-3)


def test_picture_of_next_to_nothing() -> None:
    axes, shown = levels(torch.zeros(2, 3), 44100)
    assert shown.max() < -79
    assert axes.get_yticklabels()[-1].get_text() == "16"


@pytest.mark.slow
def test_a_demo_is_what_the_averaged_model_generates_from_the_seed_of_the_run(
    diffusion_run: DiffusionModelConfig, change: Change
) -> None:
    """As long as its seconds say, or as the window where they say more."""
    conditions = tuple(
        {"prompt": PROMPTS[0], "seconds_start": start, "seconds_total": total}
        for start, total in ((0.25, 0.75), (0.0, 3.0))
    )
    config = with_demos(
        diffusion_run, every=4, count=2, conditions=conditions, guidance_scales=(4.0,)
    )
    last = run_training(change(config, name="seeded_demos"))
    folder = last.parents[1] / "demos" / "step_00000004"
    records = json.loads((folder / "demos.json").read_text())
    model = load(last, device="cpu")
    assert isinstance(model, StableAudio)
    for record, start, seconds in zip(records, (0.25, 0.0), (0.5, 1.0), strict=True):
        assert (record["seed"], record["seconds"]) == (5, seconds)
        made = [
            generate(
                model,
                PROMPTS[0],
                seconds_start=start,
                duration=seconds,
                steps=2,
                guidance_scale=4.0,
                seed=seed,
                progress=False,
            )
            .finish()
            .samples
            for seed in (5, 0)
        ]
        found = read_audio(folder / record["audio"]).samples
        scaled = [one / one.abs().max().clamp(min=1) for one in made]
        # Files of 16 bits, and a training that rounded in another order.
        torch.testing.assert_close(found, scaled[0], rtol=1e-3, atol=2**-13)
        assert float((found - scaled[1]).abs().max()) > 0.01 * float(found.abs().max())
