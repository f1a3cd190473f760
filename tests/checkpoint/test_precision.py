"""Number formats: what is asked for, what "auto" takes, and what is converted while it is read."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stable_audio_open.checkpoint.weights import precision
from stable_audio_open.checkpoint.weights.mapped_pages import MAPS, MappedPages
from stable_audio_open.checkpoint.weights.precision import VARIABLE, Precision, find_precision
from stable_audio_open.checkpoint.weights.strict import load_strictly
from stable_audio_open.checkpoint.weights.tensors import CheckpointError, read_tensors
from stable_audio_open.nn.device import fast_dtype
from stable_audio_open.pretrained import StableAudio, load

CPU = torch.device("cpu")
SINGLE, HALF = torch.float32, torch.bfloat16
AUTO = "transformer=bfloat16,autoencoder=float32,text_encoder=bfloat16"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(precision, "fast_dtype", lambda device: HALF)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (None, (SINGLE, SINGLE, None)),
        ("auto", (SINGLE, SINGLE, None)),
        ("bfloat16", (HALF, HALF, None)),
        (torch.float16, (torch.float16, torch.float16, None)),
        ("transformer=bfloat16", (HALF, SINGLE, None)),
        ("autoencoder=float16, text_encoder=bfloat16", (SINGLE, torch.float16, HALF)),
        (AUTO, (HALF, SINGLE, HALF)),
    ],
)
def test_types_of_the_parts(
    dtype: str | torch.dtype | None, expected: tuple[torch.dtype, torch.dtype, torch.dtype | None]
) -> None:
    assert find_precision(dtype, CPU) == Precision(*expected)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("float8", "unknown dtype 'float8'; choose from float32, float16, bfloat16, float64"),
        ("transformer=half", "unknown dtype 'half'; choose from"),
        ("vae=float16", "unknown part 'vae' in dtype; choose from transformer, autoencoder, text_"),
        ("transformer=bfloat16,float32", "names no part before 'float32'; write it as"),
        ("transformer=bfloat16,transformer=float32", "names 'transformer' twice; leave one of"),
        ("", "unknown dtype ''; choose from"),
    ],
)
def test_mistakes(dtype: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        find_precision(dtype, CPU)
    assert "\n" not in str(caught.value)


def test_an_environment_says_what_auto_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "fast_dtype", lambda device: HALF)
    for named, expected in (
        ("float32", Precision(SINGLE, SINGLE, None)),
        ("transformer=float16", Precision(torch.float16, SINGLE, None)),
        ("auto", Precision(HALF, SINGLE, HALF, rounded=True)),
        ("", Precision(HALF, SINGLE, HALF, rounded=True)),
    ):
        monkeypatch.setenv(VARIABLE, named)
        assert find_precision("auto", CPU) == expected
        assert find_precision(None, CPU) == Precision(SINGLE, SINGLE, None)
        assert find_precision("bfloat16", CPU) == Precision(HALF, HALF, None)
    monkeypatch.setenv(VARIABLE, "half")
    with pytest.raises(ValueError, match=r"^the environment variable STABLE_AUDIO_OPEN_DTYPE: unk"):
        find_precision("auto", CPU)


@pytest.mark.parametrize(
    ("major", "minor", "expected"), [(9, 0, HALF), (8, 0, HALF), (7, 5, SINGLE), (6, 1, SINGLE)]
)
def test_fast_on_gpus_of_compute_capability_8(
    monkeypatch: pytest.MonkeyPatch, major: int, minor: int, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))
    assert fast_dtype(torch.device("cuda")) == expected


def test_fast_on_cpus_by_their_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        for other in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, other, lambda there=other == name: there)
        assert fast_dtype(CPU) == HALF
        monkeypatch.setattr(torch.cpu, name, lambda: False)
        assert fast_dtype(CPU) == SINGLE
    assert fast_dtype(torch.device("mps")) == SINGLE


def kinds(model: nn.Module) -> set[torch.dtype]:
    return {parameter.dtype for parameter in model.parameters()}


@pytest.mark.usefixtures("fast")
def test_auto_rounds_transformer_and_text_encoder_alone(tiny_model_folder: Path) -> None:
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu", dtype="auto")
    assert model.transformer.dtype == HALF
    assert kinds(model.autoencoder) == {SINGLE}
    (text,) = model.conditioner.texts.values()
    assert kinds(text.get_submodule("encoder")) == {HALF}
    assert model.precision == AUTO
    named = StableAudio.from_pretrained(tiny_model_folder, device="cpu", dtype=model.precision)
    for (name, found), expected in zip(
        named.state_dict().items(), model.state_dict().values(), strict=True
    ):
        assert torch.equal(found, expected), name


@pytest.mark.usefixtures("fast")
def test_what_auto_makes_is_near_single_precision(tiny_model_folder: Path) -> None:
    asked = {"duration": 0.5, "steps": 5, "seed": 3, "progress": False}
    rounded = load(tiny_model_folder, device="cpu", dtype="auto").generate("kick", **asked)  # type: ignore[union-attr,arg-type]
    exact = load(tiny_model_folder, device="cpu", dtype="float32").generate("kick", **asked)  # type: ignore[union-attr,arg-type]
    difference = (rounded.samples - exact.samples).norm() / exact.samples.norm()
    assert 0 < difference < 0.1


@pytest.mark.usefixtures("fast")
def test_what_was_rounded_for_speed_is_neither_trained_nor_saved(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu", dtype="auto")
    assert not model.eval().training
    with pytest.raises(ValueError, match=r"loaded for generation, in .*dtype='float32'$"):
        model.train()
    with pytest.raises(ValueError, match=r"to save it, load it with dtype='float32'$"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    asked = StableAudio.from_pretrained(tiny_model_folder, device="cpu", dtype="bfloat16")
    assert asked.train().training
    asked.save_pretrained(tmp_path / "saved")


def test_a_text_encoder_that_is_given_stays_as_it_is(tiny_model_folder: Path, fast: None) -> None:
    (text,) = load(tiny_model_folder, device="cpu", dtype="float32").conditioner.texts.values()  # type: ignore[union-attr]
    pair = (text.tokenizer, text.encoder)
    model = StableAudio.from_pretrained(
        tiny_model_folder, device="cpu", dtype="auto", text_encoder=pair
    )
    assert kinds(text.encoder) == {SINGLE}
    model.generate("kick", duration=0.2, steps=1, seed=1, progress=False)


# Converted while it is read.


def weights(folder: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    save_file(tensors, folder / "w.safetensors")
    return read_tensors(folder / "w.safetensors").tensors


def test_types_by_name(tmp_path: Path) -> None:
    with torch.device("meta"):
        layers = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    given = weights(tmp_path, {f"{name}.weight": torch.randn(2, 2) for name in layers})
    kind = {"a.weight": HALF, "b.weight": SINGLE}
    load_strictly(layers, given, source="file", dtype_of=kind.__getitem__)
    assert torch.equal(layers.get_parameter("a.weight"), given["a.weight"].to(HALF))
    assert layers.get_parameter("b.weight").data_ptr() == given["b.weight"].data_ptr()


def test_faults_are_counted_and_ranges_kept(tmp_path: Path) -> None:
    def read(first: float, second: float) -> None:
        with torch.device("meta"):
            layer = nn.Linear(1, 2)
        given = weights(
            tmp_path, {"weight": torch.full((2, 1), first), "bias": torch.full((2,), second)}
        )
        load_strictly(layer, given, source="file", dtype_of=lambda _: torch.float16)

    with pytest.raises(
        CheckpointError, match=r"holds NaN \(2 such tensors, of which this is the fi"
    ):
        read(torch.nan, torch.inf)
    with pytest.raises(
        CheckpointError, match="bias holds 70000, which float16 cannot hold; use bf"
    ):
        read(1.0, 70000.0)


@pytest.mark.skipif(not MAPS.is_file(), reason="the system does not say where files are mapped to")
class TestPages:
    """Of files that are mapped: what was read and converted takes no memory twice."""

    def mapped(self) -> int:
        """Bytes of files that are in this process's memory."""
        status = Path("/proc/self/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("RssFile"))
        return 1024 * int(line.split()[1])

    @pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
    def test_are_given_back_and_read_again(self, tmp_path: Path, suffix: str) -> None:
        path, numbers = tmp_path / f"a b{suffix}", torch.arange(2.0**22)
        if suffix == ".ckpt":
            torch.save({"w": numbers}, path)
        else:
            save_file({"w": numbers, "v": torch.ones(3)}, path)
        tensor = read_tensors(path).tensors["w"]
        assert torch.equal(tensor, numbers)
        before, pages = self.mapped(), MappedPages()
        pages.release(tensor)
        assert before - self.mapped() > 0.9 * tensor.nbytes
        assert torch.equal(tensor, numbers)

    def test_memory_of_its_own_is_left_alone(self) -> None:
        numbers = torch.arange(2.0**20)
        expected = numbers.clone()
        MappedPages().release(numbers)
        assert torch.equal(numbers, expected)

    def test_of_weights_that_were_converted(self, tmp_path: Path) -> None:
        with torch.device("meta"):
            layer = nn.Linear(2048, 2048)
        given = weights(tmp_path, {"weight": torch.randn(2048, 2048), "bias": torch.randn(2048)})
        before = self.mapped()
        load_strictly(layer, given, source="file", dtype_of=lambda _: HALF)
        assert self.mapped() - before < 0.1 * given["weight"].nbytes
        assert torch.equal(layer.weight, given["weight"].to(HALF))
