"""What is new is joined to what is kept without a trace of what was removed."""

import math

import pytest
import torch
from torch import Tensor

from stable_audio_open.editing.joining import joined, mirrored, recovered
from stable_audio_open.editing.spans import Span

SPANS = [Span(300, 500), Span(700, 720), Span(900, 1000)]


def noise(seed: int, *, time: int = 1000) -> Tensor:
    return 0.1 * torch.randn(2, time, generator=torch.Generator().manual_seed(seed))


def outside(time: int = 1000) -> Tensor:
    mask = torch.ones(time, dtype=torch.bool)
    for span in SPANS:
        mask[span.start : span.end] = False
    return mask


def test_outside_of_the_spans_nothing_changes() -> None:
    kept = noise(0)
    found = joined(kept, noise(1), SPANS, crossfade=50, lookahead=10)
    assert torch.equal(found[:, outside()], kept[:, outside()])
    assert (found != kept)[:, ~outside()].all()


def test_what_was_removed_and_what_is_new_elsewhere_do_not_count() -> None:
    kept, new = noise(0), noise(1)
    found = joined(kept, new, SPANS, crossfade=50, lookahead=10)
    kept[:, ~outside()], new[:, outside()] = 7.0, 7.0
    again = joined(kept, new, SPANS, crossfade=50, lookahead=10)
    assert torch.equal(again[:, ~outside()], found[:, ~outside()])
    again = mirrored(kept, SPANS, 80)
    assert torch.equal(again, mirrored(torch.where(outside(), kept, 0.0), SPANS, 80))


def test_the_power_of_unrelated_sounds_stays_in_a_crossfade() -> None:
    many = torch.randn(4000, 1, 100, generator=torch.Generator().manual_seed(0))
    new = torch.randn(4000, 1, 100, generator=torch.Generator().manual_seed(1))
    found = joined(0.1 * many, 0.1 * new, [Span(30, 70)], crossfade=20, lookahead=5)
    power = found.square().mean((0, 1))
    torch.testing.assert_close(power, torch.full((100,), 0.01), rtol=0.15, atol=0)


def test_the_value_at_an_edge_goes_on() -> None:
    """A slow tone has no jump where its mirror image begins, and none where it ends."""
    tone = (torch.arange(1000) / 40).sin()[None].repeat(2, 1)
    found = joined(tone, torch.zeros_like(tone), [Span(300, 500)], crossfade=90, lookahead=10)
    assert float(found.diff().abs().max()) < 2 * float(tone.diff().abs().max())


@pytest.mark.parametrize(
    ("span", "samples"), [(Span(0, 40), 100), (Span(60, 100), 100), (Span(0, 100), 100)]
)
def test_at_the_end_of_a_sound_there_is_no_crossfade(span: Span, samples: int) -> None:
    new = noise(1, time=samples)
    found = joined(noise(0, time=samples), new, [span], crossfade=10, lookahead=5)
    if span.start == 0:
        assert torch.equal(found[:, 0], new[:, 0])
    if span.end == samples:
        assert torch.equal(found[:, -1], new[:, -1])


def test_a_span_of_one_sample() -> None:
    kept, new = noise(0), noise(1)
    found = joined(kept, new, [Span(500, 501)], crossfade=50, lookahead=10)
    assert torch.equal(found[:, 500], new[:, 500])


def test_only_what_is_new_is_turned_down() -> None:
    kept, new = noise(0), noise(1)
    new[:, 400] = 3.0
    found = joined(kept, new, SPANS, crossfade=50, lookahead=10)
    assert float(found[:, 300:500].abs().max()) <= 1 + 1e-6
    plain = joined(kept, noise(1), SPANS, crossfade=50, lookahead=10)
    torch.testing.assert_close(found[:, :379], plain[:, :379])
    torch.testing.assert_close(found[:, 421:], plain[:, 421:])
    assert torch.equal(found[:, outside()], kept[:, outside()])
    gain = found[:, 380:420] / new[:, 380:420]
    torch.testing.assert_close(gain[0], gain[1])  # the image of the sound stays in place
    assert float(gain.min()) == pytest.approx(1 / 3)
    assert float(gain.diff().abs().max()) < 0.15


def test_what_is_kept_is_never_turned_down() -> None:
    kept = noise(0)
    kept[:, 200] = 1.5
    found = joined(kept, torch.full_like(kept, 2.0), SPANS, crossfade=50, lookahead=10)
    assert torch.equal(found[:, outside()], kept[:, outside()])
    assert float(found.abs().max()) <= 1.5 + 1e-6


def test_an_item_is_turned_down_by_its_own_loudest_sample() -> None:
    """Whatever its neighbours are like."""
    kept, new = torch.stack([noise(0), noise(2)]), torch.stack([noise(1), noise(3) * 20])
    kept[0, :, 200] = 1.5
    together = joined(kept, new, SPANS, crossfade=50, lookahead=10)
    for index in range(2):
        alone = joined(kept[index], new[index], SPANS, crossfade=50, lookahead=10)
        torch.testing.assert_close(together[index], alone)
    assert float(together[1].abs().max()) <= 1 + 1e-6


def test_a_mirror_image_fills_the_edges_and_leaves_the_middle_silent() -> None:
    kept = noise(0)
    found = mirrored(kept, [Span(300, 500)], 80)
    weight = math.cos(math.pi / 2 * 0.5 / 80)
    torch.testing.assert_close(found[:, 300], kept[:, 299] * weight)
    torch.testing.assert_close(found[:, 499], kept[:, 500] * weight)
    assert not found[:, 380:420].any()
    assert found[:, 300:380].any(dim=0).all()
    assert not mirrored(kept, [Span(300, 500)], 0)[:, 300:500].any()


def test_an_image_is_no_longer_than_what_is_kept() -> None:
    kept = noise(0)
    found = mirrored(kept, [Span(10, 500), Span(505, 700)], 80)
    assert found[:, 10:20].any(dim=0).all()
    assert not found[:, 20:420].any()
    assert not found[:, 495 - 75 : 495].any()
    assert found[:, 495:500].any(dim=0).all()


def test_a_filter_that_is_seen_outside_is_undone_inside() -> None:
    kept = noise(0, time=40000)
    hertz = torch.fft.rfftfreq(40000)
    wrong = torch.where(hertz < 0.03, 0.5, 2.0)
    decoded = torch.fft.irfft(torch.fft.rfft(kept) * wrong, n=40000)
    span = Span(10000, 20000)
    found = recovered(decoded, kept, [span])[:, 12000:18000]
    wanted = kept[:, 12000:18000]
    assert float((found - wanted).square().mean()) < 0.1 * float(wanted.square().mean())
    changed = kept.clone()
    changed[:, span.start : span.end] = 5.0
    assert torch.equal(found, recovered(decoded, changed, [span])[:, 12000:18000])


@pytest.mark.parametrize("error", [1e-6, 1e-3])
def test_a_faint_tail_is_no_standard_for_a_loud_part(error: float) -> None:
    """A tail at -80 dB that is decoded 20 dB too faint or 40 dB too loud says nothing of -20 dB."""
    kept, decoded = noise(0, time=40000), noise(1, time=40000)
    kept[:, 20000:], decoded[:, 20000:] = kept[:, 20000:] * 1e-3, decoded[:, 20000:] * error * 10
    found = recovered(decoded, kept, [Span(0, 20000)])[:, 1000:19000]
    torch.testing.assert_close(found, decoded[:, 1000:19000], rtol=0, atol=0.01)


@pytest.mark.parametrize("kept", [torch.zeros(2, 1000), noise(0)])
def test_silence_is_no_standard(kept: Tensor) -> None:
    decoded = noise(1) if not kept.any() else torch.zeros(2, 1000)
    torch.testing.assert_close(recovered(decoded, kept, [Span(300, 500)]), decoded)
