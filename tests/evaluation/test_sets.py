from pathlib import Path

import pytest
import soundfile

from stable_audio_open.evaluation.sets import match, recordings_by_id


def recording(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, [0.1] * 10, 8000)
    return path


def test_ids_are_names_without_suffix_in_order(tmp_path: Path) -> None:
    for name in ("b.flac", "below/a.wav", "c.d.wav"):
        recording(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no audio")
    found = recordings_by_id(tmp_path)
    assert list(found) == ["a", "b", "c.d"]
    assert found["a"] == tmp_path / "below" / "a.wav"


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: no such folder; check the path"):
        recordings_by_id(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no audio; use WAV, FLAC, Ogg, MP3 or AIFF"):
        recordings_by_id(tmp_path)
    recording(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"a\.wav: is a file; give the folder of the recordings"):
        recordings_by_id(tmp_path / "a.wav")
    recording(tmp_path / "a.flac")
    with pytest.raises(ValueError, match=r"a\.flac and a\.wav have the same id .*; rename one"):
        recordings_by_id(tmp_path)


def test_ids_must_match_unless_allowed() -> None:
    own, reference, names = dict.fromkeys("abc"), dict.fromkeys("bcdefgh"), ("OWN", "THEIRS")
    with pytest.raises(
        ValueError, match=r"OWN: lacks 'd', 'e', 'f' and 2 more of THEIRS; add them, or pass --allo"
    ):
        match(own, reference, names=names)
    with pytest.raises(ValueError, match=r"OWN: has 'a', not in THEIRS; remove them, or pass"):
        match(own, dict.fromkeys("bc"), names=names)
    with pytest.raises(
        ValueError, match=r"OWN: shares no id with THEIRS \('a', 'b', 'c' and 'x'\)"
    ):
        match(own, dict.fromkeys("x"), names=names)
    found = match(own, reference, names=names, allow_missing=True)
    assert found == (("b", "c"), ("d", "e", "f", "g", "h"), ("a",))
    assert match(own, own, names=names) == (("a", "b", "c"), (), ())


def test_names_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    composed, decomposed = "Gl\u00f6ckchen", "Glo\u0308ckchen"
    for folder, name in (("ours", composed), ("theirs", decomposed)):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / f"{name}.wav", [0.1] * 10, 8000)
    ours, theirs = (recordings_by_id(tmp_path / folder) for folder in ("ours", "theirs"))
    assert list(ours) == list(theirs) == [composed]
    assert theirs[composed].stem == decomposed
    soundfile.write(tmp_path / "ours" / f"{decomposed}.flac", [0.1] * 10, 8000)
    with pytest.raises(ValueError, match="have the same id"):
        recordings_by_id(tmp_path / "ours")
