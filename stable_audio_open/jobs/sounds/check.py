"""What can be refused before a model is loaded."""

from collections.abc import Mapping, Sequence
from typing import Any

from stable_audio_open.audio.files import audio_info
from stable_audio_open.editing.generate import check_loop
from stable_audio_open.editing.lengths import check_length
from stable_audio_open.given_prompts import check_texts
from stable_audio_open.request import check_seeds, check_start
from stable_audio_open.sampling_settings import check_options


def check_before_loading(given: Mapping[str, Any], prompts: Sequence[str] = ()) -> None:
    """Check the arguments of `generate` that mean the same for every model.

    Args:
        given: Arguments; those that are not there are the model's.
        prompts: Texts of the batch, none where they are not known yet.

    Raises:
        ValueError: One is out of its range.
        AudioFileError: A recording cannot be read.
    """
    if prompts:
        check_texts(prompts, "prompt")
    check_seeds(given.get("seed"), len(prompts) or 1)
    check_options(**{name: given.get(name) for name in ("sampler", "schedule", "steps")})
    check_length(
        duration=given.get("duration"),
        samples=given.get("samples"),
        loop=given.get("loop", False),
        bars=given.get("bars"),
        bpm=given.get("bpm"),
    )
    if given.get("loop"):
        check_loop(
            seconds_start=given.get("seconds_start", 0.0),
            init_audio=given.get("init_audio"),
            trim=given.get("trim", True),
        )
    check_start(given.get("init_strength", 1.0), given.get("init_noise_level"))
    if "init_audio" in given:
        audio_info(given["init_audio"])
