import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from stable_audio_open.nn.device import check_device_dtype, filled, find_device, sent, widened
from tests.fake_gpu import GPU, NoWaiting


@pytest.mark.parametrize("device", [None, "auto"])
@pytest.mark.parametrize(
    ("cuda", "mps", "found"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_what_is_taken_when_none_is_named(
    monkeypatch: pytest.MonkeyPatch, device: str | None, cuda: bool, mps: bool, found: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert find_device(device) == torch.device(found)


def test_mps_has_no_double_precision() -> None:
    mps = torch.device("mps")
    check_device_dtype(mps, torch.float32)
    check_device_dtype(mps, torch.float16)
    check_device_dtype(torch.device("cpu"), torch.float64)
    with pytest.raises(
        ValueError, match=r"^MPS devices have no float64; use float32, or the device cpu$"
    ):
        check_device_dtype(mps, torch.float64)


@pytest.mark.parametrize("new", [True, False])
def test_bfloat16_on_mps_goes_by_the_system(monkeypatch: pytest.MonkeyPatch, new: bool) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: new)
    if new:
        check_device_dtype(torch.device("mps"), torch.bfloat16)
        return
    with pytest.raises(ValueError, match=r"^MPS devices have bfloat16 from macOS 14 on; use "):
        check_device_dtype(torch.device("mps"), torch.bfloat16)


def test_tensors_are_widened_where_that_can_be() -> None:
    x = torch.tensor([1 / 3])
    assert widened(x).dtype == torch.float64
    assert widened(x).float() == x


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_what_is_sent_keeps_its_values(dtype: torch.dtype | None) -> None:
    x = torch.tensor([0.1, -3.0])
    moved = sent(x, torch.device("cpu"), dtype)
    assert moved.dtype == (dtype or x.dtype)
    assert torch.equal(moved, x.to(moved.dtype))


def test_the_cpu_does_not_wait_for_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.dtype] = []

    def pin(x: torch.Tensor) -> torch.Tensor:
        pinned.append(x.dtype)
        return x

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    with FakeTensorMode(allow_non_fake_inputs=True), NoWaiting():
        x = torch.zeros(2)
        moved = sent(x, torch.device(GPU), torch.bfloat16)
        assert (moved.device.type, moved.dtype) == (GPU, torch.bfloat16)
        with pytest.raises(AssertionError, match="waits for the device"):
            x.to(GPU)
    assert pinned == [torch.bfloat16]


def test_numbers_are_filled_as_they_would_be_copied() -> None:
    values = [0.1, 1e-9, -3, 7.123456789]
    assert torch.equal(filled(values, torch.device("cpu")), torch.tensor(values))
