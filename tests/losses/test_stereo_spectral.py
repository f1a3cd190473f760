import math
from typing import Any

import auraloss
import pytest
import torch
from torch import Tensor

from stable_audio_open.losses.stereo_spectral import Convergence, Reference, StereoSpectralLoss

pytestmark = pytest.mark.numerical

RATE = 44100
SIZES = (2048, 512, 128, 32)


def sounds(items: int = 3, *, seed: int = 0) -> Tensor:
    """Stereo noise of different loudness, with a tone in the middle."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(items, 2, 8192, generator=generator)
    tone = torch.sin(torch.arange(8192) * 0.05 * (seed + 1))
    loudness = torch.tensor([0.3, 0.05, 0.6])[:items, None, None]
    return loudness * (0.3 * noise + tone)


def ours(**changes: Any) -> StereoSpectralLoss:
    """By the ratio of the whole batch, as auraloss."""
    settings: dict[str, Any] = {
        "sample_rate": RATE,
        "fft_sizes": SIZES,
        "convergence": "batch",
        "skip_silent_side": False,
    }
    return StereoSpectralLoss(**settings | changes)


def theirs(*, weighted: bool) -> dict[str, object]:
    return {
        "fft_sizes": list(SIZES),
        "hop_sizes": [size // 4 for size in SIZES],
        "win_lengths": list(SIZES),
        "perceptual_weighting": weighted,
        "sample_rate": RATE,
    }


def in_order(decoded: Tensor, target: Tensor, reference: Reference) -> tuple[Tensor, Tensor]:
    """auraloss divides the convergence by the norm of its second argument."""
    return (target, decoded) if reference == "decoded" else (decoded, target)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("reference", ["decoded", "target"])
def test_left_and_right_are_those_of_auraloss(reference: Reference, weighted: bool) -> None:
    decoded, target = sounds(), sounds(seed=1)
    terms = ours(reference=reference, a_weighting=weighted)(decoded, target)
    loss = auraloss.freq.MultiResolutionSTFTLoss(**theirs(weighted=weighted))
    for channel, term in ((0, terms.left), (1, terms.right)):
        own = slice(channel, channel + 1)
        expected = loss(*in_order(decoded[:, own], target[:, own], reference))
        torch.testing.assert_close(term, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("reference", ["decoded", "target"])
def test_mid_and_side_are_those_of_auraloss(reference: Reference, weighted: bool) -> None:
    decoded, target = sounds(), sounds(seed=1)
    terms = ours(reference=reference, a_weighting=weighted)(decoded, target)
    loss = auraloss.freq.SumAndDifferenceSTFTLoss(**theirs(weighted=weighted))
    expected = loss(*in_order(decoded, target, reference))
    torch.testing.assert_close((terms.mid + terms.side) / 2, expected, rtol=1e-5, atol=0)


def test_the_two_references_differ() -> None:
    decoded, target = sounds(), sounds(seed=1)
    found = [ours(reference=reference)(decoded, target) for reference in ("decoded", "target")]
    for one, other in zip(found[0][:4], found[1][:4], strict=True):
        assert abs(float(one - other)) > 0.01


def test_equal_sounds_have_no_distance() -> None:
    for term in ours()(sounds(), sounds()):
        assert float(term) == 0


@pytest.mark.parametrize("reference", ["decoded", "target"])
def test_by_item_it_is_the_mean_of_auraloss_over_items(reference: Reference) -> None:
    decoded, target = sounds(), sounds(seed=1)
    terms = ours(reference=reference, convergence="item")(decoded, target)
    loss = auraloss.freq.MultiResolutionSTFTLoss(**theirs(weighted=True))
    both = auraloss.freq.SumAndDifferenceSTFTLoss(**theirs(weighted=True))
    left, right, planes = [], [], []
    for item in range(3):
        first, second = in_order(decoded[[item]], target[[item]], reference)
        left.append(loss(first[:, :1], second[:, :1]))
        right.append(loss(first[:, 1:], second[:, 1:]))
        planes.append(both(first, second))
    for term, expected in ((terms.left, left), (terms.right, right)):
        torch.testing.assert_close(term, torch.stack(expected).mean(), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        (terms.mid + terms.side) / 2, torch.stack(planes).mean(), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("skip", [True, False])
def test_by_item_a_batch_is_the_mean_of_its_parts(skip: bool) -> None:
    """However it is split over processes, and whichever items are mono."""
    decoded, target = sounds(), sounds(seed=1)
    decoded, target = decoded[[0, 1, 2, 0]], target[[0, 1, 2, 1]]
    target[1] = target[1].mean(dim=0)
    splits = ([0, 1], [2, 3]), ([0, 2], [1, 3]), ([0, 3], [1, 2])

    def means(loss: StereoSpectralLoss) -> list[Tensor]:
        return [
            torch.stack([torch.stack(loss(decoded[part], target[part])) for part in parts]).mean(0)
            for parts in splits
        ]

    loss = ours(convergence="item", skip_silent_side=skip)
    whole = torch.stack(loss(decoded, target))
    for mean in means(loss):
        torch.testing.assert_close(mean, whole)
    spread = torch.stack(means(ours(skip_silent_side=skip)))[:, :4].std(dim=0)
    assert (spread > 1e-3).all()  # the ratio of a batch depends on who is in it


def test_by_item_a_mono_recording_has_a_side_of_none() -> None:
    decoded, target = sounds(), sounds(seed=1)
    target[1] = target[1].mean(dim=0)
    terms = ours(convergence="item", skip_silent_side=True)(decoded, target)
    stereo = ours(convergence="item")(decoded[[0, 2]], target[[0, 2]])
    torch.testing.assert_close(terms.side, stereo.side * 2 / 3)
    mono = ours(convergence="item")(decoded[[1]], target[[1]])
    plain = ours(convergence="item")(decoded, target)
    torch.testing.assert_close(plain.side, (2 * stereo.side + mono.side) / 3)


def test_mono_recordings_are_left_out_of_the_side_alone() -> None:
    decoded, target = sounds(), sounds(seed=1)
    target[1] = target[1].mean(dim=0)
    stereo = [0, 2]
    all_terms = ours(skip_silent_side=True)(decoded, target)
    some_terms = ours(skip_silent_side=True)(decoded[stereo], target[stereo])
    torch.testing.assert_close(all_terms.side, some_terms.side)
    plain = ours(skip_silent_side=False)(decoded, target)
    torch.testing.assert_close(all_terms.mid, plain.mid)
    torch.testing.assert_close(all_terms.left, plain.left)
    assert plain.side > 1.2 * all_terms.side


@pytest.mark.parametrize("mono", [[], [1]])
@pytest.mark.parametrize("convergence", ["item", "batch"])
def test_the_side_is_masked_with_the_gradients_of_a_choice(
    mono: list[int], convergence: Convergence
) -> None:
    """A GPU that was asked which items there are would be waited for."""
    target = sounds(seed=1)
    target[mono] = target[mono].mean(dim=1, keepdim=True)
    stereo = [item for item in range(3) if item not in mono]
    masked, chosen = (sounds().requires_grad_() for _ in range(2))
    side = ours(convergence=convergence, skip_silent_side=True)(masked, target).side
    # By item, those that are left out count with a distance of 0.
    share = len(stereo) / 3 if convergence == "item" else 1
    wanted = share * ours(convergence=convergence)(chosen[stereo], target[stereo]).side
    torch.testing.assert_close(side, wanted)
    side.backward()
    wanted.backward()
    assert masked.grad is not None
    assert chosen.grad is not None
    torch.testing.assert_close(masked.grad, chosen.grad)
    assert not masked.grad[mono].any()


@pytest.mark.parametrize("convergence", ["item", "batch"])
def test_a_batch_of_mono_recordings_has_no_side(convergence: Convergence) -> None:
    target = sounds().mean(dim=1, keepdim=True).expand(-1, 2, -1)
    decoded = sounds(seed=1).requires_grad_()
    terms = ours(skip_silent_side=True, convergence=convergence)(decoded, target)
    assert float(terms.side.detach()) == 0
    sum(terms).backward()
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()


def test_one_channel_is_its_own_mid_left_and_right() -> None:
    decoded, target = sounds()[:, :1], sounds(seed=1)[:, :1]
    terms = ours(skip_silent_side=True)(decoded, target)
    torch.testing.assert_close(terms.left, terms.right)
    assert float(terms.side) == 0


def test_silence_against_sound_has_finite_gradients() -> None:
    decoded = torch.zeros(2, 2, 4096, requires_grad=True)
    terms = ours(reference="target")(decoded, sounds(2)[..., :4096])
    (terms.mid + terms.left).backward()
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()


def test_waveform_term_is_the_mean_difference() -> None:
    target = sounds()
    terms = ours(a_weighting=True)(target + 0.125, target)
    torch.testing.assert_close(terms.waveform, torch.tensor(0.125))


def test_mel_term_is_the_level_between_two_loudnesses() -> None:
    target = sounds()
    terms = ours(a_weighting=False, mel=True)(target / 2, target)
    torch.testing.assert_close(terms.mel, torch.tensor(20 * math.log10(2)), rtol=1e-4, atol=0)


def test_mel_term_is_computed_on_request_alone() -> None:
    assert float(ours()(sounds(), sounds(seed=1)).mel) == 0
    assert float(ours(mel=True)(sounds(), sounds(seed=1)).mel) > 1


def test_all_silence_is_the_same_silence_to_the_mel_term() -> None:
    hiss = 1e-6 * sounds()
    assert float(ours(a_weighting=False, mel=True)(hiss, torch.zeros_like(hiss)).mel) == 0


def test_it_explains_itself_and_stores_nothing() -> None:
    loss = ours()
    assert "fft_sizes=(2048, 512, 128, 32), reference='decoded', convergence='batch'" in repr(loss)
    assert loss.state_dict() == {}
