"""The card that goes with a model."""

import json
import re
from pathlib import Path

import msgspec
import pytest
import torch
from huggingface_hub import ModelCard as HubCard

import stable_audio_open
from stable_audio_open import Audio, ModelCard, StableAudio
from stable_audio_open.checkpoint.bundled import BUNDLED
from stable_audio_open.checkpoint.hub.measurements import Measured, read_measurements
from stable_audio_open.evaluation.result import Result, to_json
from stable_audio_open.pretrained_autoencoder import AudioAutoencoder


def code_of(card: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert isinstance(code, str)
    return code


def rows_of(card: str) -> dict[str, str]:
    return dict(re.findall(r"^\| (.+?) \| (.+?) \|$", card, flags=re.MULTILINE))


def test_a_whole_model(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    card = ModelCard(
        license="cc0-1.0",
        description="For *tests*.",
        data="Noise, [of our own](https://example.org).",
        datasets=["someone/noise"],
        base_model="someone/older",
        tags=["short"],
    )
    model.save_pretrained(tmp_path / "mine", card=card, variant="fp16")
    text = (tmp_path / "mine/README.md").read_text()
    assert HubCard(text).data.to_dict() == {
        "license": "cc0-1.0",
        "library_name": "stable-audio-open",
        "pipeline_tag": "text-to-audio",
        "tags": ["audio", "latent-diffusion", "short"],
        "datasets": ["someone/noise"],
        "base_model": "someone/older",
    }
    assert "\n# small\n\nFor *tests*.\n\n|" in text
    assert "\n## Data\n\nNoise, [of our own](https://example.org).\n" in text
    assert "## Measured" not in text
    assert stable_audio_open.__version__ in text
    rows = rows_of(text)
    assert rows["sound"] == "16 kHz, stereo, up to 1.00 s at once"
    assert rows["conditioned on"] == r"prompt, seconds\_start, seconds\_total"
    assert rows["transformer"].endswith("2 blocks of width 32")
    assert rows["predicts"] == "v of the paper's cosine process"
    assert rows["stored"].startswith("float16, ")

    monkeypatch.chdir(tmp_path)
    code = code_of(text).replace("duration=1", "duration=0.1, steps=1, progress=False")
    assert 'from_pretrained("mine", variant="fp16")' in code
    exec(code, {})
    assert Audio.load("sound.wav").duration == 0.1


def test_an_autoencoder(
    tmp_path: Path, tiny_autoencoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    autoencoder = AudioAutoencoder.from_pretrained(tiny_autoencoder_folder, device="cpu")
    autoencoder.save_pretrained(tmp_path / "mine", card=ModelCard())
    text = (tmp_path / "mine/README.md").read_text()
    assert HubCard(text).data.to_dict() == {
        "library_name": "stable-audio-open",
        "pipeline_tag": "audio-to-audio",
        "tags": ["audio", "autoencoder"],
    }
    assert rows_of(text)["autoencoder"].endswith("32 samples per latent, 8 channels")
    assert "## Data" not in text
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    Audio(samples=torch.zeros(1, 2, 1600), sample_rate=16000).save("sound.wav")
    exec(code_of(text), names)
    assert names["latents"].shape == (1, 8, 50)  # type: ignore[attr-defined]


def test_a_flow_conditioned_on_other_numbers(
    tmp_path: Path, flow_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = StableAudio.from_pretrained(flow_folder, device="cpu")
    model.save_pretrained(tmp_path / "mine", card=ModelCard())
    text = (tmp_path / "mine/README.md").read_text()
    assert HubCard(text).data.tags == ["audio", "latent-diffusion", "rectified-flow"]
    assert rows_of(text)["predicts"] == "velocity of a rectified flow, for few steps"
    monkeypatch.chdir(tmp_path)
    code = code_of(text).replace("duration=1", "duration=0.1, steps=1, progress=False")
    assert 'conditions={"bpm": 140.0}' in code
    exec(code, {})


def test_a_card_that_is_there_stays_unless_another_one_is_given(
    tmp_path: Path, tiny_autoencoder_folder: Path
) -> None:
    autoencoder = AudioAutoencoder.from_pretrained(tiny_autoencoder_folder, device="cpu")
    autoencoder.save_pretrained(tmp_path / "mine")
    assert not (tmp_path / "mine/README.md").exists()
    (tmp_path / "mine/README.md").write_text("by hand")
    autoencoder.save_pretrained(tmp_path / "mine")
    assert (tmp_path / "mine/README.md").read_text() == "by hand"
    autoencoder.save_pretrained(tmp_path / "mine", card=ModelCard(description="new"))
    assert "\nnew\n" in (tmp_path / "mine/README.md").read_text()


def test_figures_of_the_bundled_model() -> None:
    (measured,) = read_measurements([BUNDLED["tiny"] / "measured.json"])
    assert measured.title == "measured"
    rows = dict(measured.rows)
    assert rows["reconstruction, stft_mean"] == "1.796"
    assert rows["adherence, prompts"] == "40"
    assert not any("wrong" in name for name in rows)


def test_figures_of_evaluate(tmp_path: Path, tiny_autoencoder_folder: Path) -> None:
    class Distance(Result, frozen=True, kw_only=True):
        distance: float
        per_file: dict[str, float]
        contributions: dict[str, float]

    result = Distance(
        definition="How <far> | it is",
        audio="/home/someone/made",
        reference="C/recordings",
        checkpoint="panns:x.pth",
        checkpoint_hash="0123",
        sample_rate=44100,
        channels=2,
        files=1234,
        windows=5,
        distance=1.23456789,
        per_file={"a": 1.0},
        contributions={"a": 1.0},
    )
    (tmp_path / "out/results/whole").mkdir(parents=True)
    (tmp_path / "out/results/whole/frechet.json").write_bytes(to_json(result))
    (tmp_path / "out/report.json").write_bytes(msgspec.json.encode({"tables": [1], "files": 3}))
    expected = Measured(
        "whole/frechet",
        "How <far> | it is",
        (
            ("audio", "made"),
            ("checkpoint", "panns:x.pth"),
            ("checkpoint_hash", "0123"),
            ("sample_rate", "44,100"),
            ("channels", "2"),
            ("files", "1,234"),
            ("windows", "5"),
            ("reference", "recordings"),
            ("version", stable_audio_open.__version__),
            ("distance", "1.23457"),
        ),
    )
    assert read_measurements([tmp_path / "out"]) == [expected]

    autoencoder = AudioAutoencoder.from_pretrained(tiny_autoencoder_folder, device="cpu")
    autoencoder.save_pretrained(tmp_path / "mine", card=ModelCard(measurements=[tmp_path / "out"]))
    text = (tmp_path / "mine/README.md").read_text()
    assert "\n## Measured\n\n### whole/frechet\n\nHow \\<far> \\| it is\n\n|" in text
    assert rows_of(text)["distance"] == "1.23457"
    assert "someone" not in text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "FILE: no such file or folder of measurements"),
        (
            "[]",
            "FILE: holds no figures; allowed: JSON as `evaluate` writes it, or a folder of it",
        ),
        (
            '{"a": "b", "c": null, "d": true}',
            "FILE: holds no figures; allowed: JSON as `evaluate` writes it, or a folder of it",
        ),
        ("{", "FILE: invalid JSON at line 1, column 2: "),
    ],
)
def test_what_is_no_measurement_is_refused_before_anything_is_written(
    tmp_path: Path, tiny_autoencoder_folder: Path, content: str | None, told: str
) -> None:
    path = tmp_path / "figures.json"
    if content is not None:
        path.write_text(content)
    autoencoder = AudioAutoencoder.from_pretrained(tiny_autoencoder_folder, device="cpu")
    with pytest.raises(ValueError, match="figures") as caught:
        autoencoder.save_pretrained(tmp_path / "mine", card=ModelCard(measurements=[path]))
    assert str(caught.value).startswith(told.replace("FILE", str(path)))
    assert not (tmp_path / "mine").exists()


def test_a_folder_without_figures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text(json.dumps({"a": "b"}))
    with pytest.raises(ValueError, match="holds no figures"):
        read_measurements([tmp_path])


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"license": 1}, "license must be a name, got 1 (int)"),
        ({"description": None}, "description must be a text, got None (NoneType)"),
        ({"tags": "short"}, "tags must be a list, got 'short' (str)"),
        ({"measurements": "a.json"}, "measurements must be a list, got 'a.json' (str)"),
        ({"measurements": [1]}, "measurements must be a path, got 1 (int)"),
    ],
)
def test_wrong_types_are_told(settings: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        ModelCard(**settings)  # type: ignore[arg-type]
    assert str(caught.value) == message
