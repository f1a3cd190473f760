"""Names of files that are made of text, whatever its alphabet."""

from pathlib import Path

import pytest

from stable_audio_open.files.names import free_path, is_taken, shortened_name, stem_for_names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("deep kick", "deep kick"),
        ("a" * 100, "a" * 60),
        ("音" * 100, "音" * 60),
        ("\U0001d54c" * 100, "\U0001d54c" * 45),
        ("xx" + "\U0001d54c" * 100, "xx" + "\U0001d54c" * 44),
    ],
)
def test_no_character_is_cut_in_two(text: str, name: str) -> None:
    assert shortened_name(text) == name
    assert len(name.encode()) <= 180


def test_a_number_makes_a_path_free(tmp_path: Path) -> None:
    assert free_path(tmp_path / "a.b.wav") == tmp_path / "a.b.wav"
    (tmp_path / "a.b.wav").write_bytes(b"")
    assert free_path(tmp_path / "a.b.wav") == tmp_path / "a.b_2.wav"
    (tmp_path / "a.b_2.wav").symlink_to(tmp_path / "nowhere")
    assert free_path(tmp_path / "a.b.wav") == tmp_path / "a.b_3.wav"


def test_what_is_taken_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    mine = {tmp_path / "a.wav", tmp_path / "a_3.wav"}
    assert free_path(tmp_path / "a.wav", mine.__contains__) == tmp_path / "a_2.wav"
    assert free_path(tmp_path / "b.wav", mine.__contains__) == tmp_path / "b.wav"
    assert is_taken(tmp_path / "a.wav")
    assert not is_taken(tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("rain.wav", "rain"),
        ("x" * 250 + ".wav", "x" * 180),
        ("音" * 80 + ".wav", "音" * 60),
        ("a\udcffb.wav", "ab"),
        ("\udcff.wav", "sound"),
    ],
)
def test_files_are_named_by_others(name: str, stem: str) -> None:
    assert stem_for_names(Path("folder") / name) == stem
