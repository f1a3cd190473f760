"""Which tensors can be weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stable_audio_open.nn.weights import FLOATS, type_fault, value_fault

PLACE = {"w": torch.zeros(2, 2, device="meta")}
COUNTER = {"n": torch.zeros((), dtype=torch.int64)}
ENDING = (
    "; allowed: finite numbers in float32, float16, bfloat16 or float64; save the weights again "
    "with the program that wrote them, or copy or download the file again"
)

FORMS: dict[str, Callable[[], Tensor]] = {
    "of the type int8": lambda: torch.ones(2, 2, dtype=torch.int8),
    "of the type int64": lambda: torch.ones(2, 2, dtype=torch.int64),
    "of the type bool": lambda: torch.ones(2, 2, dtype=torch.bool),
    "of the type complex64": lambda: torch.ones(2, 2, dtype=torch.complex64),
    "of the type float8_e4m3fn": lambda: torch.ones(2, 2).to(torch.float8_e4m3fn),
    "sparse (sparse_coo)": lambda: torch.ones(2, 2).to_sparse(),
    "quantised (qint8)": lambda: torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8),
    "a meta tensor, which holds no numbers": lambda: torch.ones(2, 2, device="meta"),
    "a nested tensor": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(2)]),
}


@pytest.mark.filterwarnings("ignore")  # of quantised and nested tensors, which torch means to drop
@pytest.mark.parametrize("told", FORMS)
def test_other_forms_have_no_place(told: str) -> None:
    assert type_fault({"w": FORMS[told]()}, PLACE) == f"w is {told}{ENDING}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("told", [name for name in FORMS if "int64" not in name])
def test_a_counter_takes_integers_alone(told: str) -> None:
    fault = type_fault({"n": FORMS[told]()}, COUNTER)
    assert (fault is None) == (told == "of the type int8")


def test_floats_have_their_place_and_a_counter_has_none_for_them() -> None:
    for dtype in FLOATS:
        assert type_fault({"w": torch.ones(2, 2, dtype=dtype)}, PLACE) is None
        assert type_fault({"n": torch.ones((), dtype=dtype)}, COUNTER) is not None
    assert type_fault({"n": torch.tensor(3)}, COUNTER) is None


def test_what_is_not_wanted_is_passed_over() -> None:
    assert type_fault({"other": torch.tensor([True])}, PLACE) is None


def test_all_are_counted_and_the_first_is_named() -> None:
    found = {f"w{i}": torch.ones(1, dtype=torch.int8) for i in range(3)}
    fault = type_fault(found, {name: torch.ones(1) for name in found})
    assert fault == ("w0 is of the type int8 (3 such tensors, of which this is the first)" + ENDING)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("value", "told"),
    [(float("nan"), "NaN"), (float("inf"), "infinity"), (-float("inf"), "infinity")],
)
def test_one_number_that_is_not_finite_is_found(
    dtype: torch.dtype, value: float, told: str
) -> None:
    tensor = torch.randn(3, 1001, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert value_fault({"w": tensor, "n": torch.tensor(3)}) is None
    tensor[1, 567] = value
    assert value_fault({"v": torch.ones(2), "w": tensor}) == f"w holds {told}{ENDING}"
    assert value_fault({"w": tensor.T}) == f"w holds {told}{ENDING}"


@pytest.mark.parametrize("dtype", FLOATS[:3])
def test_large_numbers_are_finite_though_their_sum_is_not(dtype: torch.dtype) -> None:
    tensor = torch.full((1000,), torch.finfo(dtype).max, dtype=dtype)
    assert not tensor.sum().isfinite()
    assert value_fault({"w": tensor}) is None


def test_infinities_of_both_signs_are_not_taken_for_nan() -> None:
    assert value_fault({"w": torch.tensor([torch.inf, -torch.inf])}) == f"w holds infinity{ENDING}"


def test_double_precision_beyond_single_is_told() -> None:
    tensor = torch.tensor([1.0, 1e300], dtype=torch.float64)
    assert value_fault({"w": tensor}) == f"w holds numbers that float32 cannot hold{ENDING}"


def test_nothing_is_finite() -> None:
    assert value_fault({"w": torch.zeros(0, 4)}) is None
