from pathlib import Path

import pytest

from stable_audio_open.pretrained import StableAudio

WARNING = (
    "the model is in training mode, in which dropout changes what it makes; call model.eval() first"
)


def test_a_model_in_training_mode_is_warned_of(
    tiny_model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    model.generate("kick", duration=0.1, steps=1, progress=False)
    model.denoiser("kick")
    assert caplog.messages == []
    model.train()
    model.generate("kick", duration=1.5, steps=1, progress=False)
    model.denoiser("kick")
    assert caplog.messages == [WARNING] * 2
