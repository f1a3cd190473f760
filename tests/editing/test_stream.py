"""Sound before all of it is decoded."""

from typing import Any

import pytest
import torch

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.editing.generate import generate as any_length
from stable_audio_open.editing.stream import stream
from stable_audio_open.generate import generate, generate_latents
from stable_audio_open.latent_diffusion import LatentDiffusion

pytestmark = pytest.mark.numerical

ASKED = {"steps": 3, "seed": 1, "progress": False}


def test_pieces_joined_are_decoded_in_the_same_chunks(random_model: LatentDiffusion) -> None:
    prompts = ["deep kick", "bell"]
    pieces = list(stream(random_model, prompts, first=22, core=100, **ASKED))
    assert pieces[0].samples.shape == (2, 2, 22 * 32)
    joined = torch.cat([piece.samples for piece in pieces], dim=-1)
    latents = generate_latents(random_model, prompts, **ASKED).latents
    decoded = random_model.autoencoder.decode(latents, first=22, core=100)
    assert torch.equal(joined, decoded)
    whole = generate(random_model, prompts, **ASKED).samples
    torch.testing.assert_close(joined, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))
    assert pieces[0].seeds == (1, 2)


def test_the_first_piece_is_there_before_the_rest(
    random_model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[int] = []
    original = AudioAutoencoder._decode

    def counted(self: AudioAutoencoder, latents: torch.Tensor) -> torch.Tensor:
        frames.append(latents.shape[-1])
        return original(self, latents)

    monkeypatch.setattr(AudioAutoencoder, "_decode", counted)
    pieces = stream(random_model, "kick", first=22, core=100, **ASKED)
    assert frames == []
    next(pieces)
    assert frames == [22 + random_model.autoencoder.decoder_margin]
    assert not torch.is_inference_mode_enabled()
    list(pieces)
    assert len(frames) == 6


def test_pieces_end_where_the_sound_ends(random_model: LatentDiffusion) -> None:
    pieces = list(
        stream(random_model, ["kick", "bell"], duration=[0.1, 0.3], first=22, core=50, **ASKED)
    )
    joined = torch.cat([piece.samples for piece in pieces], dim=-1)
    assert joined.shape == (2, 2, 4800)
    assert joined[0, :, 1600:].abs().max() == 0
    assert joined[0, :, 1500:1600].abs().max() > 0
    assert joined[1, :, 4700:].abs().max() > 0


def test_mistakes_are_told_at_once(random_model: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match=r"^first must be at least 1 latent frame, got 0$"):
        stream(random_model, "kick", first=0)
    with pytest.raises(ValueError, match=r"^steps must be at least 1, got 0$"):
        stream(random_model, "kick", steps=0)


@pytest.mark.parametrize(
    ("prompt", "duration"),
    [
        ("deep kick", 2.3),
        (["deep kick", "bell"], [2.3, 2.3]),
        ([(0, "deep kick"), (1, "bell")], 2.0),
        ([(0, "deep kick"), (0.2, "bell")], 0.5),
    ],
)
def test_long_sounds_are_streamed(
    random_model: LatentDiffusion, prompt: Any, duration: Any
) -> None:
    asked: dict[str, Any] = {"duration": duration, **ASKED}
    pieces = list(stream(random_model, prompt, first=22, core=100, **asked))
    assert pieces[0].samples.shape[-1] == 22 * 32
    joined = torch.cat([piece.samples for piece in pieces], dim=-1)
    whole = any_length(random_model, prompt, **asked).samples
    torch.testing.assert_close(joined, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"loop": True},
            "stream takes no argument 'loop': the start of a loop depends on its end; make it with "
            "generate",
        ),
        (
            {"bars": 4},
            "stream takes no argument 'bars': the start of a loop depends on its end; make it with "
            "generate",
        ),
        ({"samples": 400}, "stream takes no argument 'samples'; give duration, in seconds"),
        ({"trim": False}, "stream takes no argument 'trim': its pieces end with the sound"),
        (
            {"negative": "bell"},
            "stream takes no argument 'negative'; did you mean \"negative_prompt\"?",
        ),
        ({"first": 2.0}, "first must be an integer, got 2.0 (float)"),
        ({"core": None}, "core must be an integer, got None (NoneType)"),
        ({"duration": "2"}, "duration must be a number, got '2' (str)"),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_what_streams_do_not_take(
    random_model: LatentDiffusion, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        stream(random_model, "kick", **given)
    assert str(caught.value) == message
