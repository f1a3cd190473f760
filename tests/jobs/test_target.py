"""Where sounds go: said before the work, and no file lost after it."""

from pathlib import Path

import pytest
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.writing.places import AudioSaveError
from stable_audio_open.audio.writing.tags import TagError, read_tags
from stable_audio_open.jobs.target import Target, check_apart, place_of, plan

RATE = 8000


def sounds(count: int = 2, prompt: str = "kick") -> Audio:
    generator = torch.Generator().manual_seed(0)
    tags = tuple(
        {"stable_audio_open": "1", "prompt": prompt, "item": item} for item in range(count)
    )
    return Audio(torch.rand(count, 1, 80, generator=generator) - 0.5, RATE, tags=tags)


def items(folder: Path) -> dict[str, object]:
    """Which item is in which file."""
    return {path.name: read_tags(path)["item"] for path in folder.glob("*.wav")}


def test_a_folder_is_made_when_it_is_needed(tmp_path: Path) -> None:
    target = plan(tmp_path / "new", sounds=2, subtype="pcm16")
    assert target.is_folder
    assert not target.path.exists()
    saved = target.save(sounds(), ["a.wav", "b.flac"])
    assert saved == [tmp_path / "new" / "a.wav", tmp_path / "new" / "b.flac"]
    assert soundfile.info(saved[1]).subtype == "PCM_16"


def test_a_file_takes_one_sound(tmp_path: Path) -> None:
    target = plan(tmp_path / "a.wav", sounds=1, subtype="float")
    assert target.save(sounds(1), ["other.wav"]) == [tmp_path / "a.wav"]
    assert soundfile.info(tmp_path / "a.wav").subtype == "FLOAT"
    assert items(tmp_path) == {"a.wav": 0}
    with pytest.raises(ValueError, match=r"a.wav: exists; give another name, or --overwrite"):
        plan(tmp_path / "a.wav", sounds=1, subtype="float")
    target = plan(tmp_path / "a.wav", sounds=1, subtype="pcm24", overwrite=True)
    target.save(sounds(1), [""], tags=False)
    with pytest.raises(TagError):
        read_tags(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"b.wav: 2 sounds do not fit into one file; give"):
        plan(tmp_path / "b.wav", sounds=2, subtype="pcm24")
    assert not plan(tmp_path / "b.wav", sounds=1, subtype="pcm24").overwrite


@pytest.mark.parametrize("overwrite", [False, True])
def test_sounds_of_one_name(tmp_path: Path, overwrite: bool) -> None:
    for _ in range(2):
        target = plan(tmp_path, sounds=3, subtype="pcm16", overwrite=overwrite)
        target.save(sounds(3), ["a.wav"] * 3)
    first = {"a.wav": 0, "a_2.wav": 1, "a_3.wav": 2}
    again = {} if overwrite else {"a_4.wav": 0, "a_5.wav": 1, "a_6.wav": 2}
    assert items(tmp_path) == first | again


def test_what_is_kept_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    sounds(1).save(tmp_path / "a.wav")
    before = (tmp_path / "a.wav").read_bytes()
    target = Target(tmp_path / "sub" / "..", True, "pcm16", True, {place_of(tmp_path / "a.wav")})
    (saved,) = target.save(sounds(1, "snare"), ["a.wav"])
    assert saved.name == "a_2.wav"
    assert (tmp_path / "a.wav").read_bytes() == before
    assert place_of(tmp_path / "a_2.wav") in target.kept


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_keep_their_place(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "a.wav").mkdir()
    (tmp_path / "a_2.wav.json").write_text("[]")
    target = plan(tmp_path, sounds=1, subtype="pcm16", overwrite=overwrite)
    (saved,) = target.save(sounds(1, "x" * 3000), ["a.wav"])
    assert saved.name == "a_3.wav"
    assert (tmp_path / "a_2.wav.json").read_text() == "[]"


def test_tags_of_a_sound_that_is_gone_keep_their_place(tmp_path: Path) -> None:
    """Whoever moved it may bring it back; with --overwrite they are replaced with it."""
    sounds(1, "x" * 3000).save(tmp_path / "a.wav")
    beside = (tmp_path / "a.wav.json").read_bytes()
    (tmp_path / "a.wav").unlink()
    plan(tmp_path, sounds=1, subtype="pcm16").save(sounds(1), ["a.wav"])
    assert items(tmp_path) == {"a_2.wav": 0}
    assert (tmp_path / "a.wav.json").read_bytes() == beside
    plan(tmp_path, sounds=1, subtype="pcm16", overwrite=True).save(sounds(1), ["a.wav"])
    assert items(tmp_path) == {"a_2.wav": 0, "a.wav": 0}
    assert not (tmp_path / "a.wav.json").exists()


def test_somebody_elses_tags_are_told_beforehand(tmp_path: Path) -> None:
    (tmp_path / "a.wav.json").write_text("[]")
    with pytest.raises(TagError, match=r"a.wav.json: stands where tags of a.wav go that are too"):
        plan(tmp_path / "a.wav", sounds=1, subtype="pcm16")
    assert not plan(tmp_path / "a.wav", sounds=1, subtype="pcm16", tags=False).is_folder


@pytest.mark.parametrize("name", ["a.ogg", "folder"])
def test_forms_are_checked(tmp_path: Path, name: str) -> None:
    target = plan(tmp_path / name, sounds=1, subtype="pcm24", suffix=".ogg")
    target.check_form(200_000, 2, suffix=".ogg")
    with pytest.raises(ValueError, match=r"(a|sound).ogg: .ogg cannot hold 2 channels at 200001"):
        target.check_form(200_001, 2, suffix=".ogg")


def test_places_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output, message in (
        ("absent/a.wav", "the folder .*absent does not exist"),
        ("absent/new", "the folder .*absent does not exist"),
        ("file/a.wav", "the folder .*file does not exist"),
    ):
        with pytest.raises(AudioSaveError, match=message):
            plan(tmp_path / output, sounds=1, subtype="pcm24")
    with pytest.raises(ValueError, match=r"file: unknown audio suffix ''"):
        plan(tmp_path / "file", sounds=1, subtype="pcm24")
    with pytest.raises(ValueError, match=r"sound.mp3: .mp3 files cannot hold float samples"):
        plan(tmp_path, sounds=1, subtype="float", suffix=".mp3")


def test_a_link_to_nowhere_is_kept_as_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to(tmp_path / "mounted" / "later.wav")
    with pytest.raises(ValueError, match=r"a\.wav: exists; give another name, or --overwrite"):
        plan(tmp_path / "a.wav", sounds=1, subtype="pcm24")
    assert not plan(tmp_path / "a.wav", sounds=1, subtype="pcm24", overwrite=True).is_folder


def test_an_output_is_another_file_than_the_recording(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "link.wav").symlink_to("a.wav")
    for output in ("a.wav", "link.wav"):
        with pytest.raises(ValueError, match=rf"{output}: is the recording itself; choose another"):
            check_apart(tmp_path / output, tmp_path / "a.wav")
    check_apart(tmp_path / "b.wav", tmp_path / "a.wav")
    check_apart(tmp_path, tmp_path / "a.wav")
    check_apart(tmp_path / "a.wav", tmp_path / "missing.wav")
