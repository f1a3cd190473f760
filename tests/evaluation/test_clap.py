import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.evaluation.clap import (
    ClapPrompt,
    clap_score,
    evaluate_clap,
    read_prompts,
)

pytestmark = pytest.mark.numerical

PITCHES = {"low": 250.0, "middle": 1000.0, "high": 3000.0}
WORDS = ["<pad>", "<unk>", *PITCHES, "tone"]


class PitchEmbedder:
    """Energy of the three pitches; a text names one of them. Enough to tell right from wrong."""

    name = "pitches"
    sample_rate = 8000

    def __call__(self, mono: Tensor) -> Tensor:
        time = torch.arange(len(mono)) / self.sample_rate
        waves = [
            torch.polar(torch.ones(len(time)), 2 * math.pi * f * time) for f in PITCHES.values()
        ]
        return torch.stack([(mono * wave).sum().abs() for wave in waves])[None]

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(name in text) for name in PITCHES] for text in prompts])


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    folder = tmp_path / "tones"
    folder.mkdir()
    time = torch.arange(8000) / 8000
    for name, pitch in PITCHES.items():
        tone = 0.1 * torch.sin(2 * math.pi * pitch * time)
        soundfile.write(folder / f"{name}.wav", tone.numpy(), 8000)
    return folder


def prompts(**texts: str) -> list[ClapPrompt]:
    return [ClapPrompt(id=name, prompt=text) for name, text in texts.items()]


class FusingPitchEmbedder(PitchEmbedder):
    """Notes how long what it hears is, and by which seed."""

    fuses = True

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def embed_once(self, mono: Tensor, *, seed: int) -> Tensor:
        self.heard.append((len(mono), seed))
        return self(mono)[0] / self(mono).norm()


def test_a_model_that_fuses_hears_the_whole_unless_a_crop_is_asked_for(tones: Path) -> None:
    path = tones / "low.wav"
    soundfile.write(path, 0.1 * torch.randn(12 * 8000).numpy(), 8000)
    rows = prompts(low="low", middle="middle", high="high")
    embedder = FusingPitchEmbedder()
    found = evaluate_clap(tones, rows, embedder, source="rows.csv", seed=3)
    assert "a random 10 s of each third fused with the whole, of longer rec" in found.definition
    assert {row.start for row in found.per_prompt} == {0.0}
    assert [length for length, _ in embedder.heard] == [8000, 12 * 8000, 8000]
    seeds = [seed for _, seed in embedder.heard]
    assert len(set(seeds)) == 3
    again = FusingPitchEmbedder()
    evaluate_clap(tones, rows, again, source="rows.csv", seed=3)
    assert again.heard == embedder.heard
    cropped = FusingPitchEmbedder()
    found = evaluate_clap(tones, rows, cropped, source="rows.csv", crop=10.0)
    assert "a random 10 s of longer recordings" in found.definition
    assert cropped.heard == []


def test_score_is_the_cosine_of_each_pair() -> None:
    audio = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-2.0, 0.0]])
    text = torch.tensor([[3.0, 0.0], [0.0, 0.5], [1.0, 0.0]])
    expected = torch.tensor([1.0, 0.5**0.5, -1.0], dtype=torch.float64)
    torch.testing.assert_close(clap_score(audio, text), expected)
    rotation = torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    torch.testing.assert_close(clap_score(audio @ rotation, text @ rotation), expected)


def test_right_prompts_score_high_and_wrong_ones_low(tones: Path) -> None:
    right = {name: f"a {name} tone" for name in PITCHES}
    found = evaluate_clap(tones, prompts(**right), PitchEmbedder(), source="right.csv")
    assert found.score == pytest.approx(1, abs=1e-3)
    assert [row.prompt for row in found.per_prompt] == [right[name] for name in PITCHES]
    wrong = {"low": "middle", "middle": "high", "high": "low"}
    found = evaluate_clap(tones, prompts(**wrong), PitchEmbedder(), source="wrong.csv")
    assert found.score == pytest.approx(0, abs=2e-2)


def test_every_prompt_of_a_recording_counts(tones: Path) -> None:
    rows = [*prompts(low="low", middle="middle", high="high"), *prompts(low="high")]
    found = evaluate_clap(tones, rows, PitchEmbedder(), source="rows.csv")
    assert (len(found.per_prompt), found.files) == (4, 3)
    assert found.score == pytest.approx(3 / 4, abs=1e-2)


def test_ids_without_recordings_are_refused_or_left_out(tones: Path) -> None:
    rows = prompts(low="low", middle="middle", high="high", absent="x")
    with pytest.raises(ValueError, match=r"tones: lacks 'absent' of rows\.csv; add them, or pass"):
        evaluate_clap(tones, rows, PitchEmbedder(), source="rows.csv")
    found = evaluate_clap(tones, rows, PitchEmbedder(), source="rows.csv", allow_missing=True)
    assert (found.missing, found.files, len(found.per_prompt)) == (("absent",), 3, 3)
    with pytest.raises(ValueError, match="there is nothing to compare"):
        evaluate_clap(
            tones, prompts(other="x"), PitchEmbedder(), source="rows.csv", allow_missing=True
        )


def test_crops_follow_the_seed_and_the_id_alone(tones: Path, tmp_path: Path) -> None:
    rows = prompts(low="low", middle="middle", high="high")

    def starts(seed: int, crop: float = 0.25) -> dict[str, float]:
        found = evaluate_clap(
            tones, rows, PitchEmbedder(), source="rows.csv", seed=seed, crop=crop,
            allow_missing=True,
        )  # fmt: skip
        return {row.id: row.start for row in found.per_prompt}

    first = starts(0)
    assert len(set(first.values())) == 3
    assert all(0 <= start <= 0.75 for start in first.values())
    assert starts(0) == first
    assert starts(1) != first
    assert set(starts(0, crop=1).values()) == {0}
    (tones / "high.wav").unlink()
    assert starts(0) == {name: start for name, start in first.items() if name != "high"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,caption\na,b\n",
            r"lacks the column 'prompt', has \['id', 'caption'\]; the first line",
        ),
        ("", "lacks the column 'id', has None"),
        ("id,prompt\n", "holds no prompts; add a line for each recording"),
        ("id,prompt\na,b\nc,\n", "line 3: needs an id and a prompt"),
        ("id,prompt\na\n", "line 2: needs an id and a prompt"),
        ("id,prompt\na,\xff\n", "prompts.csv:2: byte 0xff in column 3 is not UTF-8"),
    ],
)
def test_bad_prompt_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prompts.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        read_prompts(path)


def test_a_prompt_that_a_spreadsheet_would_run_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("id,prompt\n'-a,'=drums\n", encoding="utf-8")
    assert read_prompts(path) == [ClapPrompt(id="-a", prompt="=drums")]


def test_prompts_may_hold_commas_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text('id,more,prompt\n1,x,"rain, and\nthunder"\n', encoding="utf-8-sig")
    assert read_prompts(path) == prompts(**{"1": "rain, and\nthunder"})
