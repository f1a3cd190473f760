import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from tests.unchecked import unchecked


def audio(batch: int = 2, seeds: tuple[int, ...] = (7, 8)) -> Audio:
    generator = torch.Generator().manual_seed(0)
    return Audio(torch.rand(batch, 2, 4410, generator=generator) * 0.5, 44100, seeds)


def test_what_it_knows() -> None:
    both = audio()
    assert (both.duration, both.channels, both.seed, len(both)) == (0.1, 2, 7, 2)
    assert Audio(torch.zeros(1, 1, 5), 10).seed is None
    assert repr(both) == "Audio(2 x 2 channels x 0.100 s at 44100 Hz, seeds=(7, 8))"


def test_items_keep_their_seed() -> None:
    both = audio()
    assert [item.seeds for item in both] == [(7,), (8,)]
    assert torch.equal(torch.cat([item.samples for item in both]), both.samples)
    assert both[-1].seed == 8


def test_trim() -> None:
    assert audio().trim(0.05).samples.shape == (2, 2, 2205)
    assert audio().trim(0.05).seeds == (7, 8)
    assert audio().trim(9.0).duration == audio().trim(float("inf")).duration == 0.1
    with pytest.raises(ValueError, match=r"cannot trim to 0.0 s; give a positive number"):
        audio().trim(0.0)


def test_sound_end() -> None:
    samples = torch.zeros(1, 2, 100)
    samples[..., :40] = 0.3
    assert Audio(samples, 100).sound_end() == [0.4]


def test_it_refuses_what_is_not_audio() -> None:
    with pytest.raises(ValueError, match=r"float32 of shape .* got torch.float64 of shape"):
        Audio(torch.zeros(1, 2, 3, dtype=torch.float64), 44100)
    with pytest.raises(ValueError, match="sample_rate must be positive, got 0"):
        Audio(torch.zeros(1, 2, 3), 0)
    with pytest.raises(ValueError, match="got 2 seeds for 1 items; give one per item or none"):
        Audio(torch.zeros(1, 2, 3), 44100, (1, 2))


def of_lengths() -> Audio:
    """Items of 100 and 40 samples at 100 Hz."""
    samples = torch.arange(1.0, 401.0).reshape(2, 2, 100) / 400
    return Audio(samples, 100, (7, 8), lengths=(100, 40))


def test_items_have_their_own_length() -> None:
    both = of_lengths()
    assert (both.duration, both.durations, both.lengths) == (1.0, [1.0, 0.4], (100, 40))
    assert audio().lengths == (4410, 4410)
    assert [item.samples.shape for item in both] == [(1, 2, 100), (1, 2, 40)]
    assert both.sound_end() == [1.0, 0.4]
    assert repr(both) == "Audio(2 x 2 channels x 0.400 to 1.000 s at 100 Hz, seeds=(7, 8))"


def test_what_is_behind_an_item_is_silent() -> None:
    given = torch.ones(2, 2, 100)
    both = Audio(given, 100, lengths=(100, 40))
    assert not both.samples[1, :, 40:].any()
    assert both.samples[1, :, :40].all()
    assert given.all()
    assert Audio(given, 100).samples is given
    with torch.inference_mode():
        inferred = torch.ones(1, 1, 9)
    assert int(Audio(inferred, 100, lengths=(5,)).samples.sum()) == 5


def test_numpy() -> None:
    both = of_lengths()
    array = both.numpy()
    assert (array.dtype, array.shape) == (np.float32, (2, 2, 100))
    assert np.array_equal(array[0], both.samples[0].numpy())
    assert np.array_equal(array[1, :, :40], both.samples[1, :, :40].numpy())
    assert not array[1, :, 40:].any()
    array[:] = 0  # its own
    assert both.samples[0].all()


def test_slices_are_batches_of_items() -> None:
    generator = torch.Generator().manual_seed(0)
    four = Audio(
        torch.rand(4, 2, 50, generator=generator), 100, (1, 2, 3, 4), (10, 20, 30, 50),
        fade=0.1, tags=tuple({"stable_audio_open": "1", "item": i} for i in range(4)),
    )  # fmt: skip
    part = four[1:3]
    assert (part.seeds, part.lengths, part.fade) == ((2, 3), (20, 30), 0.1)
    assert torch.equal(part.samples, four.samples[1:3, :, :30])
    assert part.samples.data_ptr() == four.samples[1].data_ptr()  # no copy
    assert four[1:].samples.data_ptr() == four.samples[1].data_ptr()
    assert [tags["item"] for tags in part.tags] == [1, 2]
    assert four[::-2].seeds == (4, 2)
    assert torch.equal(four[::-2].samples[1], four.samples[1])
    assert (len(four[2:2]), four[2:2].duration, len(four[2:2].trim(1))) == (0, 0, 0)
    assert four[-1].seeds == (4,)
    with pytest.raises(IndexError):
        four[4]


def test_cut_takes_seconds() -> None:
    both = of_lengths()
    assert torch.equal(both[0].cut(0.2, 0.5).samples, both.samples[:1, :, 20:50])
    assert both.cut(0.2).lengths == (80, 20)
    part = both.cut(0.3, 0.6)
    assert (part.lengths, part.seeds) == ((30, 10), (7, 8))
    assert torch.equal(part.samples, both.samples[..., 30:60])
    assert both.cut(0, both.duration).lengths == both.lengths
    for start in (0.4, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"start must lie within 0 to 0.400 s, got {start} s"):
            both.cut(start)
    assert torch.equal(both.cut(0, 0.01).samples, both.samples[..., :1])
    for end in (0.2, 0.1, 0, 1.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"end must lie behind start .* got {end} s"):
            both.cut(0.2, end)


@pytest.mark.parametrize("seconds", [1e-9, 0.005])
def test_nothing_is_trimmed_to_nothing(seconds: float) -> None:
    with pytest.raises(ValueError, match=rf"^cannot trim to {seconds} s, less than a sample of 1/"):
        of_lengths().trim(seconds)
    assert of_lengths().trim(0.006).lengths == (1, 1)


def test_a_part_is_no_loop_and_was_not_made_so() -> None:
    loop = Audio(torch.zeros(1, 2, 100), 100, loop=True, tags=({"stable_audio_open": "1"},))
    assert (loop.cut(0, 1.0).loop, len(loop.cut(0, 1.0).tags)) == (True, 1)
    assert (loop.cut(0, 0.5).loop, loop.cut(0, 0.5).tags) == (False, ())
    assert (loop.trim(0.5).loop, loop.trim(0.5).tags) == (False, ())


def test_load(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.linspace(0, 0.5, 800), 8000, subtype="FLOAT")
    loaded = Audio.load(tmp_path / "a.wav")
    assert (loaded.samples.shape, loaded.sample_rate) == ((1, 1, 800), 8000)
    part = Audio.load(tmp_path / "a.wav", sample_rate=16000, channels=2, start=0.02, duration=0.05)
    assert (part.samples.shape, part.sample_rate) == ((1, 2, 800), 16000)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def addresses(self, tag: str) -> list[str]:
        return [str(attributes["src"]) for name, attributes in self.found if name == tag]


def test_a_notebook_shows_players_and_spectrograms() -> None:
    tags = {"stable_audio_open": "1", "prompt": "<b>kick</b> & snare"}
    both = Audio(audio().samples, 44100, (7, 8), (4410, 2205), tags=(tags, tags))
    page = Page(both._repr_html_())
    assert [len(page.addresses(tag)) for tag in ("audio", "img")] == [2, 2]
    assert all(a.startswith("data:image/png;base64,iVBOR") for a in page.addresses("img"))
    assert all(a.startswith("data:audio/flac;base64,ZkxhQ") for a in page.addresses("audio"))
    assert "“<b>kick</b> & snare”, 0.05 s, seed 8" in page.text
    assert not any(tag == "b" for tag, _ in page.found)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_notebook_shows_sounds_that_are_broken(value: float) -> None:
    samples = audio().samples[:1].clone()
    samples[0, 0, 100] = value
    page = Page(Audio(samples, 44100, (7,))._repr_html_())
    assert [len(page.addresses(tag)) for tag in ("audio", "img")] == [1, 1]
    assert "seed 7, NaN or infinite samples left out" in page.text
    with pytest.raises(ValueError, match="NaN or infinite"):
        Audio(samples, 44100).save("x.wav")


def test_a_notebook_shows_eight_items_of_many() -> None:
    page = Page(Audio(torch.zeros(11, 1, 400), 8000)._repr_html_())
    assert len(page.addresses("audio")) == 8
    assert "And 3 more: show some by audio[a:b]." in page.text


@pytest.mark.usefixtures("types_unchecked")
def test_wrong_types_are_told_in_a_line() -> None:
    samples = torch.zeros(1, 2, 3)
    mistakes = {
        r"samples must be a torch tensor, float32 of shape \[batch, channels, time\], got a NumPy "
        r"array of float32 and shape \[1, 2, 3\]; use torch.from_numpy\(samples\)": (
            samples.numpy(), 44100,
        ),
        r"samples must be a torch tensor, .* got list": ([[0.0]], 44100),
        r"sample_rate must be an integer, got '44100' \(str\)": (samples, "44100"),
        r"sample_rate must be an integer, got 44100.0 \(float\)": (samples, 44100.0),
        r"seeds must be a tuple, got list": (samples, 44100, [7]),
        r"seeds must be an integer, got '7' \(str\)": (samples, 44100, ("7",)),
        r"lengths must be an integer, got 2.5 \(float\)": (samples, 44100, (), (2.5,)),
    }  # fmt: skip
    own = unchecked("stable_audio_open.audio.audio").Audio
    for message, arguments in mistakes.items():
        with pytest.raises(TypeError, match=f"^{message}$"):
            own(*arguments)
    with pytest.raises(
        TypeError, match=r"^audio\[...\] takes an int or a slice of items, got float;"
    ):
        own(samples, 44100)[0.5]
    with pytest.raises(TypeError, match=r"^end must be a number, got '0.5' "):
        own(samples, 44100).cut(0, "0.5")
    for method, given in (("cut", "0.5"), ("trim", None)):
        with pytest.raises(
            TypeError, match=r"^(start|seconds) must be a number, got ('0.5'|None) "
        ):
            getattr(own(samples, 44100), method)(given)
    for name, given, wanted in (
        ("loudness", "-16", "a number"),
        ("sample_rate", 48000.0, "an integer"),
        ("trim_silence", 1, "True or False"),
    ):
        with pytest.raises(TypeError, match=f"^{name} must be {wanted}, got {given!r}"):
            own(samples, 44100).finish(**{name: given})
    with pytest.raises(ValueError, match="lengths must be 0 to 3 samples, got 4"):
        Audio(samples, 44100, lengths=(4,))
