"""Names of files that are made of text, whatever its alphabet."""

import pytest

from stable_audio_open.cli.target import file_name
from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.files.names import shortened_name


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


@pytest.mark.parametrize("letter", ["\U0001f941", "\U0001d54c", "音", "é", "k"])
def test_a_prompt_of_any_alphabet_names_a_file(letter: str) -> None:
    name = file_name(letter * 60, MAX_SEED)
    assert len(f"{name}.wav".encode()) <= 255
    assert name.endswith(f"_{MAX_SEED}")
