import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    PreTrainedTokenizerFast,
)

from stable_audio_open.evaluation.clap import (
    JointEmbedder,
    Prompt,
    clap_score,
    evaluate_clap,
    read_prompts,
)
from stable_audio_open.evaluation.clap_text import ClapTextEmbedder
from stable_audio_open.listeners.clap import ClapEmbedder

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


def prompts(**texts: str) -> list[Prompt]:
    return [Prompt(id=name, prompt=text) for name, text in texts.items()]


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
        ("id,prompt\na,\xff\n", "not a CSV file in UTF-8"),
    ],
)
def test_bad_prompt_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prompts.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        read_prompts(path)


def test_prompts_may_hold_commas_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text('id,more,prompt\n1,x,"rain, and\nthunder"\n', encoding="utf-8-sig")
    assert read_prompts(path) == prompts(**{"1": "rain, and\nthunder"})


@pytest.fixture(scope="session")
def clap_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ClapModel with random weights, and a tokenizer of words."""
    config = ClapConfig(
        text_config=ClapTextConfig(
            vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
            intermediate_size=8, projection_dim=16, pad_token_id=0,
        ).to_dict(),
        audio_config=ClapAudioConfig(
            spec_size=64, hidden_size=16, patch_embeds_hidden_size=8, depths=[1, 1],
            num_attention_heads=[1, 2], num_hidden_layers=2, window_size=4, projection_dim=16,
            num_mel_bins=16, patch_embed_input_channels=1,
        ).to_dict(),
        projection_dim=16,
    )  # fmt: skip
    target: Path = tmp_path_factory.mktemp("clap") / "tiny-clap"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ClapModel(config).save_pretrained(target)
    ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, hop_length=80, max_length_s=2, fft_window_size=256,
        frequency_min=50, frequency_max=4000, truncation="rand_trunc",
    ).save_pretrained(target)  # fmt: skip
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=6
    ).save_pretrained(target)
    return target


def test_text_side_is_that_of_the_model_and_padding_changes_nothing(clap_folder: Path) -> None:
    both = ClapTextEmbedder(ClapEmbedder(clap_folder), clap_folder)
    assert isinstance(both, JointEmbedder)
    texts = ["low tone", "high", "a middle tone of low and high"]
    found = both.embed_text(texts)
    assert found.shape == (3, 16)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    alone = torch.cat([both.embed_text([text]) for text in texts])
    torch.testing.assert_close(found, alone)
    ids = torch.tensor([[WORDS.index("low"), WORDS.index("tone")]])
    with torch.inference_mode():
        features = ClapModel.from_pretrained(clap_folder).eval().get_text_features(input_ids=ids)
    theirs = features if isinstance(features, Tensor) else features.pooler_output
    torch.testing.assert_close(found[:1], torch.nn.functional.normalize(theirs, dim=1))


def test_a_folder_without_tokenizer_says_what_to_download(
    clap_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"holds no tokenizer .*; download tokenizer\.json and"):
        ClapTextEmbedder(ClapEmbedder(clap_folder), tmp_path)
