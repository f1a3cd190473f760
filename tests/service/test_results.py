"""Sounds on disk are those that were made, and files those that `Audio.save` writes."""

from pathlib import Path

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.service.problems import InvalidError, NotThereError
from stable_audio_open.service.results import (
    FORMATS,
    encoded,
    preview_of,
    read_result,
    write_preview,
    write_result,
)


@pytest.fixture
def audio() -> Audio:
    samples = 0.2 * torch.randn(2, 2, 4000, generator=torch.Generator().manual_seed(0))
    tags = ({"stable_audio_open": "0.2.0", "prompt": "kïck"}, {"stable_audio_open": "0.2.0"})
    return Audio(samples, 16000, (3, 4), lengths=(4000, 2000), fade=0.005, tags=tags)


def test_what_was_made_comes_back_whole(audio: Audio, tmp_path: Path) -> None:
    write_result(audio, tmp_path)
    found = read_result(tmp_path)
    assert torch.equal(found.samples, audio.samples)
    for name in ("sample_rate", "seeds", "lengths", "fade", "loop"):
        assert getattr(found, name) == getattr(audio, name)
    assert [dict(tags) for tags in found.tags] == [dict(tags) for tags in audio.tags]
    assert [path.name for path in tmp_path.iterdir()] == ["made.safetensors"]


@pytest.mark.parametrize("format", FORMATS)
def test_files_are_those_that_saving_writes(audio: Audio, tmp_path: Path, format: str) -> None:
    (tmp_path / "job").mkdir()
    write_result(audio, tmp_path / "job")
    path = encoded(tmp_path / "job", item=1, format=format)
    audio[1].save(tmp_path / f"own.{format}")
    if format != "ogg":  # whose pages have a random serial number
        assert path.read_bytes() == (tmp_path / f"own.{format}").read_bytes()
    assert encoded(tmp_path / "job", item=1, format=format) == path


@pytest.mark.usefixtures("types_unchecked")
def test_what_is_not_there_is_named(audio: Audio, tmp_path: Path) -> None:
    write_result(audio, tmp_path)
    for field, message, arguments in (
        ("item", r"item must be 0 to 1, got 2", {"item": 2}),
        ("item", r"item must be 0 to 1, got -1", {"item": -1}),
        (
            "format",
            r"format must be one of wav, flac, ogg, mp3, got 'wave'; did you",
            {"format": "wave"},
        ),
        ("format", r"format must be one of", {"format": "../../x"}),
        ("subtype", r"subtype must be one of pcm16", {"subtype": "pcm8"}),
        ("subtype", r"^the sound as flac: .*float samples", {"format": "flac", "subtype": "float"}),
    ):
        with pytest.raises(InvalidError, match=message) as found:
            encoded(tmp_path, **arguments)
        assert found.value.problem.field == field
        assert str(tmp_path) not in str(found.value)


def test_a_preview_takes_the_place_of_the_one_before(audio: Audio, tmp_path: Path) -> None:
    with pytest.raises(NotThereError, match="there is no preview; preview_every asks"):
        preview_of(tmp_path)
    for item in audio:
        write_preview(item, tmp_path)
    assert Audio.load(preview_of(tmp_path)).durations == [0.125]
