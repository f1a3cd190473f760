"""The one call takes what the story takes, with the same defaults."""

from inspect import signature

from stable_audio_open.editing.generate import generate
from stable_audio_open.generate import generate_latents


def test_every_argument_of_the_story_is_taken() -> None:
    ours, theirs = (dict(signature(call).parameters) for call in (generate, generate_latents))
    own = {"samples", "loop", "bars", "bpm", "trim", "fade"}
    assert set(ours) - set(theirs) == own
    assert set(theirs) <= set(ours)
    for name, parameter in theirs.items():
        assert (ours[name].default, ours[name].kind) == (parameter.default, parameter.kind), name


def test_it_is_the_method_of_models() -> None:
    from stable_audio_open.pretrained import StableAudio

    assert list(signature(StableAudio.generate).parameters) == list(signature(generate).parameters)
