"""Pickles of arrays, of every protocol, read without running what they name."""

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stable_audio_open.files.archives.pickled_arrays import read_arrays
from stable_audio_open.files.archives.pickles import PickleError, read_pickle

ARRAYS: dict[str, Any] = {
    "float32": np.arange(6, dtype="f4").reshape(2, 3),
    "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "other byte order": np.arange(3, dtype=">f8"),
    "integers": np.arange(-2, 3),
    "tensor": torch.arange(6.0).view(2, 3).T,
    "part of a tensor": torch.arange(10.0)[3:7:2],
    "trained": torch.arange(3, dtype=torch.float64).requires_grad_(),
    "bfloat16": torch.tensor([0.5, 0.25], dtype=torch.bfloat16),
    "numbers": [0.25, 0.75, 1],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back(name: str, protocol: int) -> None:
    value = ARRAYS[name]
    found = read_arrays(pickle.dumps({"a": value, 7: value}, protocol=protocol))
    is_tensor = isinstance(value, torch.Tensor)
    expected = value.detach() if is_tensor else torch.from_numpy(np.array(value, dtype="f8"))
    assert list(found) == ["a", "7"]
    for array in found.values():
        assert array.dtype == torch.float64
        torch.testing.assert_close(array, expected.double(), rtol=0, atol=0)


def test_plain_values_come_back() -> None:
    value = {"a": [1, 2.5, None, True, b"x", ("y", (), {}, [[]])], 3: "ü" * 300, 2.5: 10**30}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        if protocol >= 3:  # before it, bytes are made by a call
            assert read_pickle(pickle.dumps(value, protocol=protocol), {}) == value


class Hostile:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps({"a": Hostile(trace)}, protocol=protocol)
    with pytest.raises(PickleError, match=rf"^it names '{os.name}\.system', which is not run$"):
        read_arrays(content)
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists()  # it would have been


def test_storages_of_tensors_run_nothing_either(tmp_path: Path) -> None:
    """A tensor holds a pickle of its own, which PyTorch's own constructor would run."""
    trace = tmp_path / "trace"
    inner = pickle.dumps(Hostile(trace), protocol=2)
    content = (
        b"\x80\x03}X\x01\x00\x00\x00actorch.storage\n_load_from_bytes\nB"
        + len(inner).to_bytes(4, "little")
        + inner
        + b"\x85Rs."
    )
    with pytest.raises(PickleError, match=r"^it names '\w+\.system', which is not run$"):
        read_arrays(content)
    assert not trace.exists()


class Plain:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0], "it holds a list, no dictionary"),
        ({"a": "text"}, "it holds a str for 'a', no array"),
        ({"a": [[1.0]]}, "it holds a list for 'a', no array"),
        ({"a": {"b": [1.0]}}, "it holds a dict for 'a', no array"),
        ({("a", "b"): [1.0]}, "it has a key of type tuple"),
        ({1: [1.0], "1": [1.0]}, "it has a key twice, as text and as a number"),
        ({"a": np.array(["x"])}, "it holds arrays of the type 'U1'; allowed: numbers"),
        ({"a": np.array([None])}, "it holds arrays of the type 'O8'; allowed: numbers"),
        ({"a": {1.0}}, "it holds more than plain values"),
        ({"a": 1j}, "it names 'builtins.complex', which is not run"),
        ({"a": Plain()}, "Plain', which is not run"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_anything_else_is_refused_in_a_line(value: object, message: str) -> None:
    with pytest.raises(PickleError) as error:
        read_arrays(pickle.dumps(value))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_in_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PickleError, match="it holds a list for 'a', no array"):
        read_arrays(pickle.dumps({"a": loop}))


def test_damage_ends_in_one_line() -> None:
    """Bytes that are changed, cut or put in at random: other arrays or one line, never more."""
    rng = random.Random(0)
    whole = [pickle.dumps({"a": value, "b": value}, protocol=p) for p in (0, 2, 4, 5)
             for value in (ARRAYS["float32"], ARRAYS["tensor"])]  # fmt: skip
    messages = list[str]()
    for _ in range(1500):
        content = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(content))
            match rng.randrange(3):
                case 0:
                    content[place] = rng.randrange(256)
                case 1:
                    del content[place : place + rng.randint(1, 20)]
                case _:
                    content.insert(place, rng.randrange(256))
        try:
            found = read_arrays(bytes(content))
        except PickleError as error:
            messages.append(str(error))
        else:
            assert all(isinstance(array, torch.Tensor) for array in found.values())
    assert len(messages) > 700
    assert not any("\n" in message or len(message) > 300 for message in messages)
