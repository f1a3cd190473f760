import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path

import msgspec
import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.evaluation.generations import GenerationSettings
from stable_audio_open.evaluation.memorisation import Generator, study_memorisation
from stable_audio_open.evaluation.memorisation_page import memorisation_page
from stable_audio_open.evaluation.memorisation_result import (
    Memorisation,
    StudySettings,
    distribution,
    edges_of,
    to_json,
)
from stable_audio_open.evaluation.recording_sets import RecordingSet
from stable_audio_open.listeners.log_mel_embedder import LogMelEmbedder

RATE = 16000
LEARNT = ("sound 1", "sound 3", "sound 6")
EMBEDDER = LogMelEmbedder()


def sound(number: int) -> Tensor:
    """Beats and pitches of their own, half a second."""
    generator = torch.Generator().manual_seed(number)
    beats = torch.rand(5, generator=generator).repeat_interleave(RATE // 10)
    hertz = 100 * 2 ** (6 * torch.rand(5, generator=generator)).repeat_interleave(RATE // 10)
    return (0.2 + 0.6 * beats) * (2 * torch.pi * hertz.cumsum(0) / RATE).sin()


def write(path: Path, samples: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.numpy(), RATE, subtype="PCM_16")


@pytest.fixture
def training(tmp_path: Path) -> RecordingSet:
    """Eight sounds; the last is the first once more, the one before is nearly sound 2."""
    folder, captions = tmp_path / "training", {}
    for number in range(6):
        captions[f"audio/{number}.wav"] = f"sound {number}"
        write(folder / f"audio/{number}.wav", sound(number))
    captions |= {"audio/near.wav": "sound 6", "audio/same.wav": 'sound <b>"7"</b>'}
    write(folder / "audio/near.wav", 0.7 * sound(2) + 0.001 * sound(3))
    shutil.copy(folder / "audio/0.wav", folder / "audio/same.wav")
    return RecordingSet(folder, captions)


def generator(training: RecordingSet, *, seed: int = 0) -> Generator:
    """A model that has learnt three recordings by heart and invents the others."""
    files = {caption: file for file, caption in training.captions.items()}

    def generate(prompts: Sequence[str], seeds: Sequence[int], seconds: float) -> Audio:
        made = []
        for prompt, number in zip(prompts, seeds, strict=True):
            copied, _ = soundfile.read(training.folder / files[prompt], dtype="float32")
            made.append(torch.tensor(copied) if prompt in LEARNT else sound(1000 + number))
        samples = torch.stack(made)[:, None, : round(seconds * RATE)]
        return Audio(0.5 * samples, RATE, tuple(seeds))

    return Generator(
        generate=generate,
        prompt=lambda file, _: training.captions[file],
        window=0.5,
        settings=GenerationSettings(
            model="a <model>", prompts="caption", seed=seed, steps=1, guidance=1.0
        ),
    )


def study(training: RecordingSet, output: Path, **more: object) -> Memorisation:
    settings = StudySettings(random=8, per_prompt=2, top=5, chunk=0.5, threshold=0.98)
    return study_memorisation(
        training,
        output,
        embedder=EMBEDDER,
        generator=generator(training),
        settings=more.pop("settings", settings),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def test_what_was_learnt_by_heart_is_found(training: RecordingSet, tmp_path: Path) -> None:
    result = study(training, tmp_path / "out")
    assert result.repeated == (
        ("audio/0.wav", "audio/same.wav"),
        ("audio/2.wav", "audio/near.wav"),
    )
    repeated, everything = result.sections
    assert (repeated.sounds, repeated.prompted_recordings) == (8, 4)
    assert (everything.sounds, everything.prompted_recordings) == (16, 8)
    best = [(one.prompt, one.recording) for one in repeated.candidates[:2]]
    assert best == [("sound 6", "audio/near.wav")] * 2
    for candidate in everything.candidates:
        assert candidate.prompt in LEARNT
        assert candidate.similarity > 0.999
        assert candidate.prompted_recording == candidate.recording
        # A matrix product rounds by its size.
        assert candidate.prompted_similarity == pytest.approx(candidate.similarity, abs=3e-6)
    assert [one.rank for one in everything.candidates] == [1, 2, 3, 4, 5]
    assert everything.nearest_is_prompted is not None
    assert everything.nearest_is_prompted >= 6
    itself, _, of_all = result.distributions
    assert (itself.count, of_all.count) == (8, 16)
    assert itself.quantiles["100%"] > 0.999
    assert of_all.quantiles["50%"] < 0.98


def test_without_a_threshold_only_the_same_samples_repeat(
    training: RecordingSet, tmp_path: Path
) -> None:
    result = study(training, tmp_path / "out", settings=StudySettings(random=0, chunk=0.5))
    assert result.repeated == (("audio/0.wav", "audio/same.wav"),)
    (section,) = result.sections
    assert (section.title, section.sounds) == ("prompts of repeated training data", 2)


def test_a_resumed_study_gives_the_same_bytes(training: RecordingSet, tmp_path: Path) -> None:
    whole = to_json(study(training, tmp_path / "out"))
    sounds = sorted((tmp_path / "out" / "generations").glob("*.flac"))
    before = {path: path.read_bytes() for path in sounds}
    for path in sounds[::3]:
        path.unlink()
    shutil.rmtree(tmp_path / "out" / "embeddings")
    assert to_json(study(training, tmp_path / "out")) == whole
    assert {path: path.read_bytes() for path in sounds} == before
    assert msgspec.json.decode(whole, type=Memorisation).sections[0].sounds == 8


def test_held_out_recordings_are_the_baseline(training: RecordingSet, tmp_path: Path) -> None:
    for number in range(20, 30):
        write(tmp_path / f"unseen/{number}.wav", sound(number))
    unseen = RecordingSet(tmp_path / "unseen", {f"{n}.wav": "unheard" for n in range(20, 30)})
    result = study(training, tmp_path / "out", held_out=unseen)
    assert [(one.name, one.count) for one in result.distributions[:2]] == [
        ("training set against itself", 8),
        ("held-out against training set", 10),
    ]
    assert result.baseline == pytest.approx(result.distributions[1].quantiles["99%"], abs=1e-6)
    assert 6 <= result.sections[1].above_baseline <= 8
    shared = RecordingSet(training.folder, {"audio/3.wav": "known"})
    with pytest.raises(ValueError, match=r"3\.wav: has the same samples as audio/3\.wav of the tr"):
        study(training, tmp_path / "out", held_out=shared)


def test_given_sounds_are_compared_too(training: RecordingSet, tmp_path: Path) -> None:
    write(tmp_path / "given/mine.wav", 0.3 * sound(4))
    given = RecordingSet(tmp_path / "given", {"mine.wav": "outstanding"})
    settings = StudySettings(random=0, repeated=0, chunk=0.5)
    (section,) = study(training, tmp_path / "out", given=given, settings=settings).sections
    (candidate,) = section.candidates
    assert (candidate.recording, candidate.prompt) == ("audio/4.wav", "outstanding")
    assert (candidate.seed, section.nearest_is_prompted) == (None, None)
    assert not (tmp_path / "out" / "generations").exists()


def test_recordings_through_the_autoencoder(training: RecordingSet, tmp_path: Path) -> None:
    """One that gives everything back finds every recording, by samples where they are the same."""
    asked = []

    def reconstruct(path: Path) -> Audio:
        asked.append(path.name)
        return read_audio(path)

    for _ in range(2):
        result = study_memorisation(
            training,
            tmp_path / "out",
            embedder=EMBEDDER,
            generator=replace(generator(training), reconstruct=reconstruct),
            settings=StudySettings(random=8, chunk=0.5, repeated=0),
        )
        _, section = result.sections
        assert section.title == "training recordings through the autoencoder"
        assert (section.sounds, section.nearest_is_prompted) == (8, 8)
    assert sorted(asked) == sorted(Path(file).name for file in training.captions)


def test_the_page_plays_what_was_compared(training: RecordingSet, tmp_path: Path) -> None:
    write(tmp_path / "given/a#b%20.wav", sound(4))
    given = RecordingSet(tmp_path / "given", {"a#b%20.wav": "<i>mine</i>"})
    result = study(training, tmp_path / "out", given=given)
    page = memorisation_page(result)
    players = re.findall(r'<audio [^>]*src="([^"]*)"', page)
    assert len(players) == 2 * (5 + 5 + 1)
    for source in players:
        assert re.fullmatch(r"(generations|recordings)/[\w.-]+\.flac", unescape(source))
        assert soundfile.info(tmp_path / "out" / source).duration == 0.5
    assert "<h1>Memorisation of a &lt;model&gt;</h1>" in page
    assert "&lt;i&gt;mine&lt;/i&gt;" in page
    assert "<i>mine" not in page
    assert "<b>" not in page
    # Both learnt recordings among the five of all prompts, and the one among those of repeats.
    assert page.count("<tr class=own") >= 7
    assert "audio/2.wav, audio/near.wav" in page


def test_histograms_and_quantiles() -> None:
    values = torch.tensor([0.512, 0.6, 0.75, 1.0])
    edges = edges_of(values)
    assert (edges[0], edges[-1], len(edges)) == (0.5, 1.0, 41)
    found = distribution("x", values, edges)
    assert sum(found.histogram) == found.count == 4
    assert [place for place, count in enumerate(found.histogram) if count] == [0, 8, 20, 39]
    assert found.quantiles["50%"] == pytest.approx(0.675)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_prompt": 0}, "per_prompt must be at least 1, got 0"),
        ({"random": -1}, "random must be at least 0, got -1"),
        ({"chunk": 0.0}, "chunk must be above 0 s, got 0.0"),
        ({"threshold": 1.5}, "threshold must lie within 0..1, above 0, got 1.5; it is a cosine"),
    ],
)
def test_settings_out_of_range(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        StudySettings(**change)  # type: ignore[arg-type]
