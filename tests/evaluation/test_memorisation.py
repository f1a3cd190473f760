import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio_models.log_mel_embedder import LogMelEmbedder
from stable_audio_open.evaluation.generations.prompted import PromptedSettings
from stable_audio_open.evaluation.memorisation.page import memorisation_page
from stable_audio_open.evaluation.memorisation.result import (
    Memorisation,
    StudySettings,
    distribution,
    edges_of,
)
from stable_audio_open.evaluation.memorisation.sets import RecordingSet
from stable_audio_open.evaluation.memorisation.study import Generator, study_memorisation
from stable_audio_open.evaluation.result import to_json
from stable_audio_open.evaluation.weights import weights_hash
from stable_audio_open.version import VERSION
from tests.parsed_page import HOSTILE, ParsedPage

pytestmark = pytest.mark.numerical

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
        settings=PromptedSettings(
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
        assert candidate.prompted_similarity == pytest.approx(candidate.similarity)
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


def test_silence_makes_no_copies(training: RecordingSet, tmp_path: Path) -> None:
    """With a second of silence behind every other recording, and one that is nothing else."""
    folder, captions = tmp_path / "with_silence", {}
    for number in range(6):
        ends = [torch.zeros(RATE)] if number % 2 else []
        write(folder / f"{number}.wav", torch.cat([sound(number), *ends]))
        captions[f"{number}.wav"] = f"sound {number}"
    write(folder / "silent.wav", 0.0005 * sound(7))
    padded = RecordingSet(folder, captions | {"silent.wav": "sound 5"})
    write(tmp_path / "given/one.wav", torch.cat([sound(8), torch.zeros(RATE)]))
    write(tmp_path / "given/silent.wav", torch.zeros(RATE))
    given = RecordingSet(tmp_path / "given", {"one.wav": "one", "silent.wav": "<silent>"})
    result = study(padded, tmp_path / "out", given=given)
    assert result.repeated == ()
    assert result.baseline < 0.98
    training_set, generations, others = result.sets
    assert (training_set.name, training_set.files, training_set.windows) == ("training", 6, 6)
    assert (training_set.silent, training_set.silent_windows) == (("silent.wav",), 3 * 2 + 1)
    assert (generations.files, generations.silent, generations.silent_windows) == (12, (), 0)
    assert (others.files, others.silent, others.silent_windows) == (1, ("silent.wav",), 2 + 2)
    assert (result.files, result.windows, result.silent) == (13, 13, ("silent.wav",))
    everything, section = result.sections
    # Silent recordings give no prompts.
    assert (everything.sounds, everything.prompted_recordings) == (12, 6)
    assert (section.sounds, section.silent) == (1, ("silent.wav",))
    assert section.candidates[0].sound.startswith("recordings/")
    assert soundfile.info(tmp_path / "out" / section.candidates[0].excerpt).duration == 0.5
    page = ParsedPage(memorisation_page(result))
    told = [text for text in page.by_tag["p"] if text.startswith("Silent in")]
    assert told == ["Silent in training: silent.wav.", "Silent in given: silent.wav."]
    assert "1 more are silent and were compared with nothing." in page.text


def test_a_model_of_silence_has_nothing_to_compare(training: RecordingSet, tmp_path: Path) -> None:
    def generate(prompts: Sequence[str], seeds: Sequence[int], seconds: float) -> Audio:
        return Audio(torch.zeros(len(prompts), 1, RATE // 2), RATE, tuple(seeds))

    result = study_memorisation(
        training,
        tmp_path / "out",
        embedder=EMBEDDER,
        generator=replace(generator(training), generate=generate),
        settings=StudySettings(random=8, chunk=0.5),
    )
    for section, count in zip(result.sections, (2, 8), strict=True):
        assert (section.sounds, len(section.silent), section.candidates) == (0, count, ())
        assert (section.above_baseline, section.nearest_is_prompted) == (0, 0)
    assert [one.name for one in result.distributions] == ["training set against itself"]
    assert "8 more are silent" in memorisation_page(result)


def test_sets_of_nothing_but_silence_are_refused(training: RecordingSet, tmp_path: Path) -> None:
    write(tmp_path / "silent/0.wav", torch.zeros(RATE))
    (tmp_path / "silent/1.wav").touch()
    silent = RecordingSet(tmp_path / "silent", {"0.wav": "a", "1.wav": "b"})
    message = "silent: holds nothing to compare: 1 recordings are silent, 1 cannot be read; add"
    for sets in ({"given": silent}, {"held_out": silent}):
        with pytest.raises(ValueError, match=message):
            study(training, tmp_path / "out", **sets)
    with pytest.raises(ValueError, match=message):
        study(silent, tmp_path / "out")
    assert not (tmp_path / "out" / "generations").exists()


def test_an_edited_caption_is_generated_anew(training: RecordingSet, tmp_path: Path) -> None:
    study(training, tmp_path / "out")
    captions = {**training.captions, "audio/5.wav": "sound 1", "audio/1.wav": "sound 5"}
    edited = RecordingSet(training.folder, captions)
    assert to_json(study(edited, tmp_path / "out")).replace(b"/out", b"/new") == to_json(
        study(edited, tmp_path / "new")
    )


def test_a_longer_recording_is_generated_and_reconstructed_anew(
    training: RecordingSet, tmp_path: Path
) -> None:
    def studied(folder: Path) -> Memorisation:
        return study_memorisation(
            training,
            folder,
            embedder=EMBEDDER,
            generator=replace(generator(training), reconstruct=read_audio),
            settings=StudySettings(random=8, repeated=0, chunk=0.25),
        )

    write(training.folder / "audio/4.wav", sound(4)[: RATE // 4])
    assert [one.windows for one in studied(tmp_path / "out").sets] == [15, 15, 15]
    write(training.folder / "audio/4.wav", sound(44))
    again = studied(tmp_path / "out")
    assert [one.windows for one in again.sets] == [16, 16, 16]
    assert again.sections[1].nearest_is_prompted == 8
    assert to_json(again).replace(b"/out", b"/new") == to_json(studied(tmp_path / "new"))


@pytest.mark.parametrize("folder", ["generations", "reconstructions"])
def test_damaged_sounds_are_made_again(
    folder: str, training: RecordingSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut off, and damaged where the end can still be read."""

    def studied() -> bytes:
        result = study_memorisation(
            training,
            tmp_path / "out",
            embedder=EMBEDDER,
            generator=replace(generator(training), reconstruct=read_audio),
            settings=StudySettings(random=8, top=20, chunk=0.5),
        )
        return to_json(result)

    whole = studied()
    sounds = sorted((tmp_path / "out" / folder).glob("*.flac"))
    before = {path: path.read_bytes() for path in sounds}
    sounds[3].write_bytes(before[sounds[3]][:200])
    content = bytearray(before[sounds[5]])
    place = len(content) // 5
    content[place : place + 500] = bytes(500)
    sounds[5].write_bytes(content)
    assert studied() == whole
    assert {path: path.read_bytes() for path in sounds} == before
    assert f"made again: {sounds[3]}: the file is truncated" in caplog.text
    assert f"made again: {sounds[5]}\n" in caplog.text


def test_sounds_that_stay_unreadable_are_left_out(training: RecordingSet, tmp_path: Path) -> None:
    """On a disk that fails; the others keep their prompts."""
    folder = tmp_path / "out" / "generations"

    @contextmanager
    def failing(count: int) -> Iterator[Callable[[], None]]:
        yield lambda: None
        (path,) = folder.glob("2_*.flac")
        path.write_bytes(path.read_bytes()[:200])

    result = study_memorisation(
        training,
        tmp_path / "out",
        embedder=EMBEDDER,
        generator=replace(generator(training), progress=failing),
        settings=StudySettings(random=8, repeated=0, chunk=0.5),
    )
    _, generations = result.sets
    assert (generations.files, len(generations.unreadable)) == (7, 1)
    assert f"Unreadable in generations: {generations.unreadable[0]}" in memorisation_page(result)
    (section,) = result.sections
    assert section.sounds == 7
    files = {caption: file for file, caption in training.captions.items()}
    for one in section.candidates:
        assert one.prompted_recording == files[one.prompt]
        if one.prompt in LEARNT:
            assert one.recording == one.prompted_recording


def test_what_the_figures_were_made_with(training: RecordingSet, tmp_path: Path) -> None:
    result = study(training, tmp_path / "out")
    assert (result.checkpoint, result.checkpoint_hash) == (EMBEDDER.name, weights_hash(EMBEDDER))
    assert (result.sample_rate, result.channels) == (32000, 1)
    assert (result.files, result.windows, result.seed, result.version) == (16, 16, 0, VERSION)
    assert (result.audio, result.reference) == (str(tmp_path / "out"), str(training.folder))


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
    page = ParsedPage(memorisation_page(result))
    players = page.all("audio", "src")
    assert len(players) == 2 * (5 + 5 + 1)
    for source in players:
        assert re.fullmatch(r"(generations|recordings)/[\w.-]+\.flac", source)
        assert soundfile.info(tmp_path / "out" / source).duration == 0.5
    labels = page.all("audio", "aria-label")[:4]
    assert labels == ["sound 1", "recording 1", "sound 2", "recording 2"]
    assert page.by_tag["h1"] == ["Memorisation of a <model>"]
    assert "<i>mine</i>" in page.text
    assert page.by_tag.keys().isdisjoint({"i", "b", "script"})
    # Both learnt recordings among the five of all prompts, and the one among those of repeats.
    assert page.all("tr", "class").count("own") >= 7
    assert ["audio/2.wav, audio/near.wav"] in page.rows_below["Repeated training data"]


def test_the_page_draws_and_tells_how_near_sets_are(training: RecordingSet, tmp_path: Path) -> None:
    result = study(training, tmp_path / "out")
    page = ParsedPage(memorisation_page(result))
    [picture] = page.pictures
    assert picture.alt == "Share of a set by similarity to the nearest training recording"
    names = [one.name for one in result.distributions]
    assert picture.texts[-len(names) :] == names
    assert "cosine to the nearest training recording" in picture.texts
    rows = page.rows_below["How near to the training set"]
    assert [row[:2] for row in rows] == [[d.name, f"{d.count}"] for d in result.distributions]
    last = result.distributions[-1]
    assert rows[-1][2:] == [f"{value:.3f}" for value in last.quantiles.values()]


def test_the_page_escapes_all_that_it_tells(training: RecordingSet, tmp_path: Path) -> None:
    result = study(training, tmp_path / "out")
    candidate = msgspec.structs.replace(
        result.sections[0].candidates[0],
        sound='"><script>.flac',
        excerpt='"><script>.flac',
        prompt=HOSTILE,
        seed=None,
        prompted_recording=HOSTILE,
        recording=HOSTILE,
        caption=HOSTILE,
    )
    section = msgspec.structs.replace(result.sections[0], candidates=(candidate,))
    unread = msgspec.structs.replace(result.sets[0], unreadable=(HOSTILE,), silent=(HOSTILE,))
    hostile = msgspec.structs.replace(
        result,
        checkpoint=HOSTILE,
        sets=(unread,),
        sections=(section,),
        repeated=((HOSTILE, HOSTILE),),
        generation=msgspec.structs.replace(result.generation, model=HOSTILE),
    )
    page = ParsedPage(memorisation_page(hostile))
    assert "script" not in page.by_tag
    assert page.by_tag["h1"] == [f"Memorisation of {HOSTILE}"]
    assert [f"{HOSTILE}, {HOSTILE}"] in page.rows_below["Repeated training data"]
    for text in (f"Silent in training: {HOSTILE}.", f"Unreadable in training: {HOSTILE}."):
        assert text in page.by_tag["p"]
    heard, nearest = page.rows_below[section.title.capitalize()][-1][2:]
    assert heard.count(HOSTILE) == nearest.count(HOSTILE) == 2
    assert [unquote(source) for source in page.all("audio", "src")] == ['"><script>.flac'] * 2


def test_other_chunks_have_other_excerpts(training: RecordingSet, tmp_path: Path) -> None:
    for chunk in (0.5, 0.25, 0.2504):
        settings = StudySettings(random=8, chunk=chunk)
        result = study(training, tmp_path / "out", settings=settings)
        for section in result.sections:
            for candidate in section.candidates:
                excerpt = soundfile.info(tmp_path / "out" / candidate.excerpt)
                assert excerpt.frames == round(chunk * RATE)


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


def test_fifty_candidates_are_listened_to_as_in_the_paper(
    training: RecordingSet, tmp_path: Path
) -> None:
    settings = StudySettings(random=8, per_prompt=7, chunk=0.5, threshold=0.98)
    _, everything = study(training, tmp_path / "out", settings=settings).sections
    assert everything.sounds == 56
    assert [one.rank for one in everything.candidates] == list(range(1, 51))
    similarities = [one.similarity for one in everything.candidates]
    assert similarities == sorted(similarities, reverse=True)
