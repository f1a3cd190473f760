"""`save_pretrained` writes among no files that are not its own."""

from pathlib import Path

import pytest

from stable_audio_open import AudioAutoencoder
from stable_audio_open.builders.model import TextEncoder


@pytest.mark.parametrize("files", [["notes.txt"], ["a.wav", "b.wav", "c.wav", "d.wav"]])
def test_a_folder_of_something_else_is_refused(
    tmp_path: Path, tiny_autoencoder_folder: Path, files: list[str]
) -> None:
    model = AudioAutoencoder.from_pretrained(tiny_autoencoder_folder, device="cpu")
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"^.*: holds .*; allowed: a new or empty") as caught:
        model.save_pretrained(tmp_path)
    more = " and more" if files[3:] else ""
    assert str(caught.value) == (
        f"{tmp_path}: holds {', '.join(files[:3])}{more}; allowed: a new or empty folder, or one "
        "that holds a model in this library's layout"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_a_model_of_another_program_is_not_written_over(
    tmp_path: Path, tiny_text_encoder: TextEncoder, tiny_autoencoder_folder: Path
) -> None:
    """Whose files have the same names."""
    tiny_text_encoder.encoder.save_pretrained(tmp_path / "t5")
    before = {path.name: path.read_bytes() for path in (tmp_path / "t5").iterdir()}
    assert {"config.json", "model.safetensors"} <= before.keys()
    model = AudioAutoencoder.from_pretrained(tiny_autoencoder_folder, device="cpu")
    with pytest.raises(ValueError, match=r"t5: holds config\.json, .*; allowed: a new or empty"):
        model.save_pretrained(tmp_path / "t5")
    assert {path.name: path.read_bytes() for path in (tmp_path / "t5").iterdir()} == before
