from pathlib import Path

import numpy as np
import pytest
import soundfile

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.evaluation.protocols.protocol import CaptionPrompt
from stable_audio_open.evaluation.protocols.references import (
    check_references,
    find_references,
    missing_references,
    refuse_missing,
)
from stable_audio_open.evaluation.sets import recordings_by_id

PROMPTS = [
    CaptionPrompt(id="1", text="x", clip="aB-_", references=("aB-_", "1")),
    CaptionPrompt(id="2", text="y", clip="aB-_", references=("aB-_", "2")),
    CaptionPrompt(id="3", text="z", clip="other", references=("other", "3")),
]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()


def test_names_and_depth(tmp_path: Path):
    touch(tmp_path, "deep/aB-_.2min.MP3", "3.flac", "3.txt", ".other.wav", "unknown.wav")
    assert find_references(tmp_path, PROMPTS) == {
        "aB-_": tmp_path / "deep/aB-_.2min.MP3",
        "other": tmp_path / "3.flac",
    }


def test_every_recording_that_other_commands_read_is_found(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "clips").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal((48000, 2))
    soundfile.write(tmp_path / "elsewhere/other.oga", noise, 48000, format="OGG")
    soundfile.write(tmp_path / "clips/2.opus", noise, 48000, format="OGG", subtype="OPUS")
    (tmp_path / "clips/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "clips")
    found = find_references(tmp_path / "clips", PROMPTS)
    assert found == {
        "aB-_": tmp_path / "clips/2.opus",
        "other": tmp_path / "clips/linked/other.oga",
    }
    check_references(found)
    by_id = recordings_by_id(tmp_path / "clips")
    assert sorted(by_id.values()) == sorted(found.values())


def test_the_name_of_the_clip_comes_first_and_any_caption_will_do(tmp_path: Path):
    touch(tmp_path, "2.wav", "other.wav", "3.wav")
    assert find_references(tmp_path, PROMPTS) == {
        "aB-_": tmp_path / "2.wav",
        "other": tmp_path / "other.wav",
    }


def test_two_files_of_one_name(tmp_path: Path):
    touch(tmp_path, "a/other.wav", "other.flac", "unknown.wav", "unknown.flac")
    with pytest.raises(ValueError, match=r"two references 'other': .*other.*; remove one"):
        find_references(tmp_path, PROMPTS)


def test_missing_ones_are_named(tmp_path: Path):
    assert missing_references(PROMPTS, {}) == ["aB-_", "other"]
    refuse_missing(tmp_path, PROMPTS[:2], {"aB-_": tmp_path})
    with pytest.raises(
        ValueError, match=r"1 of 2 references are missing: other; add them, or leave them out with"
    ):
        refuse_missing(tmp_path, PROMPTS, {"aB-_": tmp_path})
    refuse_missing(tmp_path, PROMPTS, {"aB-_": tmp_path}, allowed=True)
    with pytest.raises(
        ValueError, match=r"holds none of 2 references; name recordings by their clips, such as aB"
    ):
        refuse_missing(tmp_path, PROMPTS, {}, allowed=True)
    many = [CaptionPrompt(id=f"{i}", text="x", clip=f"c{i}", references=()) for i in range(1200)]
    with pytest.raises(ValueError, match=r"1,200 of 1,200 .*: c0, .*, c9 and 1,190 more; add"):
        refuse_missing(tmp_path, many, {})


def test_damage_shows_in_headers(tmp_path: Path):
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, np.zeros((100, 2)), 8000)
    check_references({"a": sound})
    soundfile.write(tmp_path / "wide.wav", np.zeros((100, 3)), 8000)
    with pytest.raises(AudioFileError, match=r"wide\.wav: has 3 channels; mix it down to stereo"):
        check_references({"a": sound, "b": tmp_path / "wide.wav"})
    sound.write_bytes(sound.read_bytes()[:-10])
    with pytest.raises(AudioFileError, match=r"sound\.wav: the file is truncated"):
        check_references({"a": sound})


def test_no_folder(tmp_path: Path):
    with pytest.raises(ValueError, match="no such folder; give that of the reference recordings"):
        find_references(tmp_path / "none", PROMPTS)
