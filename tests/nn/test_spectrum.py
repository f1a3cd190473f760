import pytest
import torch

from stable_audio_open.nn.spectrum import magnitude, short_time_spectrum

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("size", [4, 32, 512, 2048])
@pytest.mark.parametrize("length", [2049, 4096, 5000])
@pytest.mark.parametrize("centred", [True, False])
def test_spectra_are_those_of_torch(size: int, length: int, centred: bool) -> None:
    audio = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(0)).double()
    window = torch.hann_window(size).double()
    expected = torch.stft(
        audio.flatten(0, 1),
        size,
        hop_length=size // 4,
        window=window,
        center=centred,
        return_complex=True,
    )
    found = short_time_spectrum(audio, window, centred=centred)
    torch.testing.assert_close(found.flatten(0, 1).transpose(1, 2), expected)


def test_gradients_are_those_of_torch() -> None:
    audio = torch.randn(2, 1, 600, generator=torch.Generator().manual_seed(0)).double()
    window = torch.hann_window(64).double()
    gradients = []
    for own in (True, False):
        leaf = audio.clone().requires_grad_()
        if own:
            values = magnitude(short_time_spectrum(leaf, window))
        else:
            flat = leaf.flatten(0, 1)
            spectrum = torch.stft(flat, 64, hop_length=16, window=window, return_complex=True)
            values = spectrum.abs()
        values.log().sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_magnitudes_have_a_floor_without_gradient() -> None:
    spectrum = torch.tensor([0j, 1e-6j, 3 + 4j], requires_grad=True)
    values = magnitude(spectrum)
    torch.testing.assert_close(values, torch.tensor([1e-4, 1e-4, 5.0]))
    values.sum().backward()
    assert spectrum.grad is not None
    torch.testing.assert_close(spectrum.grad, torch.tensor([0j, 0j, 0.6 + 0.8j]))
