"""Demos of a real run: files, page, loggers."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stable_audio_open.audio.files import audio_info
from stable_audio_open.audio.spectrogram import spectrogram_picture
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.training import DemoConfig
from stable_audio_open.jobs.train import run_training

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


class Files(HTMLParser):
    """What a page shows and plays, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "b", "a prompt became markup"
        self.sources += [value for name, value in attrs if name == "src" and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_all_steps_the_newest_first(demos: Path) -> None:
    page = Files()
    page.feed((demos / "index.html").read_text())
    assert len(page.sources) == 2 * 2 * 6
    assert all((demos / source).is_file() for source in page.sources)
    assert page.text.index("Step 4") < page.text.index("Step 2")
    assert all(page.text.count(prompt) >= 2 for prompt in PROMPTS)


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


def test_demos_do_not_change_the_training(
    demos: Path, diffusion_run: DiffusionModelConfig, change: Change
) -> None:
    plain = run_training(change(diffusion_run, name="without_demos"))
    with_them = demos.parent / "checkpoints" / "last.ckpt"
    weights, others = (
        torch.load(path, weights_only=True)["state_dict"] for path in (plain, with_them)
    )
    assert all(torch.equal(tensor, others[key]) for key, tensor in weights.items())


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


def test_picture_of_a_tone_has_a_line_where_it_sounds() -> None:
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 1000 * time) * (time > 0.5)
    picture = spectrogram_picture(tone.expand(2, -1), sample_rate=16000)
    assert picture.size == (480, 192)
    light = np.asarray(picture.convert("L")).astype(float)
    assert light[:, 60:200].max() < 10  # silence is black
    assert light[:, 300:450].max() > 150
    row = int(light[:, 300:450].mean(axis=1).argmax())
    # 1 kHz is at 1000 of 2840 mel.
    assert row / 192 == pytest.approx(1 - 1000 / 2840, abs=0.03)


def test_picture_of_next_to_nothing() -> None:
    picture = spectrogram_picture(torch.zeros(2, 3), sample_rate=44100)
    assert isinstance(picture, Image.Image)
    assert np.asarray(picture).max() < 6
