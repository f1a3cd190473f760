import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stable_audio_open.checkpoint.weights.tensors import CheckpointError, read_tensors

CUT_SHORT = "is truncated or not a checkpoint; copy or download it again"


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(path), path.name)


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(3.0)}, path, metadata={"format": "pt"})
    file = read_tensors(path)
    assert file.tensors["a"].tolist() == [0, 1, 2]
    assert file.header == {"format": "pt"}


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_with_a_state_dict(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.ckpt"
    content = {"state_dict": {"a": torch.arange(3.0)}, "epoch": 4, "callbacks": {"x": [1, "y"]}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    file = read_tensors(path)
    assert file.tensors["a"].tolist() == [0, 1, 2]
    assert file.header["epoch"] == 4


def test_checkpoint_of_bare_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a": torch.arange(3.0), "version": 1}, path)
    file = read_tensors(path)
    assert list(file.tensors) == ["a"]
    assert file.header == {"version": 1}


class Malicious:
    """A pickle that would create a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.target)!r}, 'w')",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused(tmp_path: Path, zipped: bool) -> None:
    target, path = tmp_path / "broken-in", tmp_path / "model.ckpt"
    content = {"state_dict": {"a": torch.zeros(1)}, "x": Malicious(target)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert refusal(path) == (
        "model.ckpt: refused, because it holds more than tensors and plain values (it names "
        "exec) and reading that runs code; save it as safetensors with the program that wrote it"
    )
    assert not target.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")  # torch.save has 2
def test_a_plain_malicious_pickle_is_refused(tmp_path: Path) -> None:
    target, path = tmp_path / "broken-in", tmp_path / "model.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": Malicious(target)}))
    assert refusal(path).startswith("model.ckpt")
    assert not target.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(1, 1), path)
    assert "(it names torch.nn.modules.linear.Linear)" in refusal(path)


@pytest.mark.parametrize("kept", [0, 4, 100, -1, -40])
@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: int) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file({"a": torch.randn(100)}, path)
    else:
        torch.save({"state_dict": {"a": torch.randn(100)}}, path)
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(path).startswith(f"{name} {CUT_SHORT}")


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
def test_a_flipped_bit_is_found_by_the_checksums_inside(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    numbers = torch.full((1000,), 0.123)
    torch.save({"state_dict": {"a": torch.zeros(10), "b": numbers}}, path)
    assert read_tensors(path).tensors["b"].equal(numbers)
    content = bytearray(path.read_bytes())
    content[content.index(numbers.numpy().tobytes()) + 2000] ^= 1
    path.write_bytes(content)
    assert refusal(path) == f"{path.name}: is damaged, model/data/1 is not as it was written"
    assert read_tensors(path, compared=False).tensors["b"].shape == (1000,)


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
@pytest.mark.parametrize("garbage", [b"<html>404</html>" * 20, b"rubbish", b"weights"])
def test_garbage_is_refused(tmp_path: Path, name: str, garbage: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(garbage)
    assert refusal(path).startswith(f"{name} {CUT_SHORT}")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "model.ckpt") == "model.ckpt: no such file"


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "00000099.ckpt").mkdir()
    assert refusal(tmp_path / "00000099.ckpt") == (
        "00000099.ckpt: is a folder, not a file of weights; move it elsewhere"
    )


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.touch()
    assert refusal(path) == (
        "model.onnx: found the suffix '.onnx'; allowed: .safetensors, .ckpt, .pt, .pth, .bin"
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([torch.zeros(1)], "found list; allowed: named tensors"),
        ({"epoch": 1}, "found no tensors"),
        ({"state_dict": [1]}, "`state_dict` holds list, not tensors"),
        (
            {"state_dict": {"a": torch.zeros(1), "b": [1.0]}},
            "'b' in `state_dict` is list, not a tensor; save the weights again without it",
        ),
        (
            {"state_dict": {"a": torch.zeros(1)}, "b": torch.zeros(1)},
            "holds the tensor 'b' beside `state_dict`, where no weights are looked for; save the "
            "weights again, all in one place",
        ),
    ],
)
def test_a_checkpoint_without_tensors_is_refused(
    tmp_path: Path, content: object, fault: str
) -> None:
    path = tmp_path / "model.ckpt"
    torch.save(content, path)
    assert refusal(path) == f"model.ckpt: {fault}"
