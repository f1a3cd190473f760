"""What is cut fades out, as long as is asked for; what is not stays as it is."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.editing.generate import generate
from stable_audio_open.editing.inpainting import extend, inpaint
from stable_audio_open.editing.interpolation import interpolate
from stable_audio_open.latent_diffusion import LatentDiffusion

ASKED: dict[str, Any] = {"steps": 1, "seed": 1, "progress": False}
SOUND = Audio(torch.full((1, 2, 8000), 0.1), 16000)
MAKERS: dict[str, Callable[..., Audio]] = {
    "generate": lambda model, **given: generate(model, "kick", duration=0.3, **given),
    "long": lambda model, **given: generate(model, "kick", duration=1.3001, **given),
    "interpolate": lambda model, **given: interpolate(
        model, ("kick", "bell"), count=2, duration=0.3, **given
    ),
    "extend": lambda model, **given: extend(model, SOUND, "kick", seconds=0.2, **given),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_fade_of_an_end_that_is_cut(random_model: LatentDiffusion, name: str) -> None:
    make = MAKERS[name]
    assert make(random_model, **ASKED).fade == 0.005
    for fade in (0, 0.1):
        assert make(random_model, fade=fade, **ASKED).fade == fade


def test_the_whole_window_is_not_cut(random_model: LatentDiffusion) -> None:
    assert generate(random_model, "kick", fade=0.1, **ASKED).fade == 0
    whole = generate(random_model, "kick", duration=0.3, trim=False, fade=0.1, **ASKED)
    assert (whole.fade, whole.samples.shape[-1]) == (0, 16000)


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("fade", "kind", "message"),
    [
        (-1, ValueError, "fade must be at least 0 seconds, got -1"),
        (math.nan, ValueError, "fade must be at least 0 seconds, got nan"),
        (math.inf, ValueError, "fade must be at least 0 seconds, got inf"),
        ("1", TypeError, "fade must be a number, got '1' (str)"),
    ],
)
def test_fades_that_there_are_not(
    random_model: LatentDiffusion, name: str, fade: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        MAKERS[name](random_model, fade=fade, **ASKED)
    assert str(caught.value) == message


def test_a_fade_leaves_what_is_extended_as_it_is(random_model: LatentDiffusion) -> None:
    for samples in (1, 40):
        made = extend(random_model, SOUND, "kick", seconds=samples / 16000, **ASKED)
        assert made.fade == samples / 16000
        assert torch.equal(made.finish().samples[..., :8000], SOUND.samples)
    fault = (
        r"^fade 0\.3 reaches into the sound itself, .*; give at most the 0\.200 s that are added$"
    )
    with pytest.raises(ValueError, match=fault):
        extend(random_model, SOUND, "kick", seconds=0.2, fade=0.3, **ASKED)


def test_a_span_that_ends_with_the_sound_makes_a_new_end(random_model: LatentDiffusion) -> None:
    for span, fade in (((0.3, 0.5), 0.005), ((0.499, 0.5), 0.001), ((0.3, 0.4999), 0)):
        made = inpaint(random_model, SOUND, "kick", spans=[(0, 0.1), span], **ASKED)
        assert made.fade == pytest.approx(fade)
    both = replace(SOUND, samples=SOUND.samples.repeat(2, 1, 1), lengths=(6400, 8000))
    assert inpaint(random_model, both, "kick", spans=[(0.3, 0.4)], **ASKED).fade == 0


def test_a_loop_stays_one_while_its_ends_are_kept(random_model: LatentDiffusion) -> None:
    loop = replace(SOUND, loop=True)
    for span, is_loop in (((0.1, 0.2), True), ((0, 0.2), False), ((0.1, 0.5), False)):
        assert inpaint(random_model, loop, "kick", spans=[span], **ASKED).loop == is_loop
    assert not extend(random_model, loop, "kick", seconds=0.1, **ASKED).loop
    other = replace(loop, sample_rate=8000)
    assert not inpaint(random_model, other, "kick", spans=[(0.1, 0.2)], **ASKED).loop


def test_what_has_no_new_end_has_no_fade(random_model: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match=r"^a loop has no end to fade, got fade 0\.1; leave it"):
        generate(random_model, "kick", loop=True, duration=0.5, fade=0.1, **ASKED)
    assert generate(random_model, "kick", loop=True, duration=0.5, fade=0, **ASKED).fade == 0
    with pytest.raises(ValueError, match=r"^what comes before a sound leaves its end as it is"):
        extend(random_model, SOUND, "kick", seconds=0.2, before=True, fade=0.1, **ASKED)
    with pytest.raises(TypeError, match=r"^unknown argument 'fade'"):
        inpaint(random_model, SOUND, "kick", spans=[(0.1, 0.2)], fade=0.1, **ASKED)  # type: ignore[call-arg]
