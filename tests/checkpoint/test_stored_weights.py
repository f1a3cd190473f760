"""Variants and shards of our own layout."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5EncoderModel

from stable_audio_open.checkpoint.stored import shard_bytes, stored_dtype, variant_name
from stable_audio_open.checkpoint.weights.sharded import check_variant, holds, read_weights
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.pretrained_autoencoder import AudioAutoencoder, load_autoencoder

INDEX = "model.safetensors.index.json"
FP16_INDEX = "model.safetensors.index.fp16.json"


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    return StableAudio.from_pretrained(tiny_model_folder, device="cpu")


def names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    state = one.state_dict()
    found = other.state_dict()
    return state.keys() == found.keys() and all(torch.equal(state[k], found[k]) for k in state)


def test_a_variant_lies_beside_the_weights(tmp_path: Path, model: StableAudio) -> None:
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    before = names(folder)
    model.save_pretrained(folder, variant="fp16")
    added = {"model.fp16.safetensors", "text_encoder/model.fp16.safetensors"}
    assert names(folder) == before | added
    stored = load_file(folder / "model.fp16.safetensors")
    assert stored["transformer.input_projection.weight"].dtype == torch.float16

    assert same(load(folder, device="cpu"), model)
    half = load(folder, device="cpu", variant="fp16")
    model.save_pretrained(tmp_path / "plain", dtype="float16")
    assert same(half, load(tmp_path / "plain", device="cpu"))
    assert not same(half, model)
    autoencoder = load_autoencoder(folder, device="cpu", variant="fp16")
    assert same(autoencoder, half.autoencoder)  # type: ignore[union-attr,arg-type]


def test_a_variant_alone_is_loaded_without_being_asked_for(
    tmp_path: Path, model: StableAudio
) -> None:
    model.save_pretrained(tmp_path / "model", variant="fp16")
    plain = load(tmp_path / "model", device="cpu")
    assert same(plain, load(tmp_path / "model", device="cpu", variant="fp16"))


def test_a_variant_of_another_name_has_the_type_that_is_given(
    tmp_path: Path, model: StableAudio
) -> None:
    model.save_pretrained(tmp_path / "model", variant="ema", dtype="bfloat16")
    model.save_pretrained(tmp_path / "model", variant="non_ema")
    for variant, dtype in (("ema", torch.bfloat16), ("non_ema", torch.float32)):
        stored = load_file(tmp_path / "model" / f"model.{variant}.safetensors")
        assert stored["transformer.input_projection.weight"].dtype == dtype


@pytest.mark.parametrize(
    ("variant", "index", "stem"),
    [(None, INDEX, "model"), ("fp16", FP16_INDEX, "model.fp16")],
)
def test_shards_are_whole_again(
    tmp_path: Path, model: StableAudio, variant: str | None, index: str, stem: str
) -> None:
    folder = tmp_path / "model"
    model.save_pretrained(folder, variant=variant, max_shard_size="50KB")
    places: dict[str, str] = json.loads((folder / index).read_text())["weight_map"]
    files = sorted(set(places.values()))
    assert files == [
        f"{stem}-{i:05d}-of-{len(files):05d}.safetensors" for i in range(1, len(files) + 1)
    ]
    assert len(files) > 2
    for file in files:
        held = load_file(folder / file)
        assert set(held) == {name for name, place in places.items() if place == file}
        assert len(held) == 1 or sum(t.nbytes for t in held.values()) <= 50_000
    assert not (folder / "model.safetensors").exists()

    model.save_pretrained(tmp_path / "one", dtype="float16" if variant else None)
    assert same(load(folder, device="cpu", variant=variant), load(tmp_path / "one", device="cpu"))


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("size", [None, 1000])
def test_transformers_reads_and_names_the_text_encoder_so(
    tmp_path: Path, model: StableAudio, variant: str | None, size: int | None
) -> None:
    model.save_pretrained(tmp_path / "model", variant=variant, max_shard_size=size)
    folder = tmp_path / "model/text_encoder"
    assert (folder / (FP16_INDEX if variant else INDEX)).is_file() is (size is not None)
    theirs = T5EncoderModel.from_pretrained(folder, variant=variant, dtype=torch.float32)
    ours = load(tmp_path / "model", device="cpu", variant=variant)
    assert same(theirs, ours.conditioner.texts["prompt"].encoder)  # type: ignore[union-attr,arg-type]
    (theirs.half() if variant else theirs).save_pretrained(
        tmp_path / "theirs", variant=variant, **({"max_shard_size": size} if size else {})
    )
    written = [
        # How many shards there are depends on the order of the tensors.
        {re.sub(r"\d{5}", "NUMBER", name) for name in names(place) if "config" not in name}
        for place in (folder, tmp_path / "theirs")
    ]
    assert written[0] - {"tokenizer.json"} == written[1]


def test_small_weights_are_in_one_file(tmp_path: Path, model: StableAudio) -> None:
    model.save_pretrained(tmp_path / "plain")
    model.save_pretrained(tmp_path / "model", max_shard_size="1GB")
    assert names(tmp_path / "model") == names(tmp_path / "plain")


def test_weights_that_are_written_anew_leave_none_of_the_old(
    tmp_path: Path, model: StableAudio
) -> None:
    """Else the old ones would be read, or lie there for ever."""
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    plain = names(folder)
    (folder / "README.md").write_text("a card")
    (folder / "model-notes.safetensors").write_text("not ours")
    kept = {"README.md", "model-notes.safetensors"}
    model.save_pretrained(folder, variant="fp16", max_shard_size=100_000)
    half = names(folder) - plain - kept
    assert FP16_INDEX in half

    model.save_pretrained(folder, max_shard_size=100_000)
    assert names(folder) & {"model.safetensors", INDEX} == {INDEX}
    assert half | kept <= names(folder)
    model.save_pretrained(folder, max_shard_size=50_000)
    index = json.loads((folder / INDEX).read_text())["weight_map"]
    shards = {name for name in names(folder) if name.startswith("model-0")}
    assert shards == set(index.values())
    assert same(load(folder, device="cpu"), model)

    model.save_pretrained(folder)
    assert names(folder) == plain | half | kept


def test_an_autoencoder_too(tmp_path: Path, tiny_autoencoder_folder: Path) -> None:
    autoencoder = AudioAutoencoder.from_pretrained(tiny_autoencoder_folder, device="cpu")
    autoencoder.save_pretrained(tmp_path / "model", variant="fp16", max_shard_size=5000)
    assert FP16_INDEX in names(tmp_path / "model")
    autoencoder.save_pretrained(tmp_path / "one", dtype="float16")
    found = AudioAutoencoder.from_pretrained(tmp_path / "model", device="cpu", variant="fp16")
    assert same(found, load_autoencoder(tmp_path / "one", device="cpu"))


def test_sounds_say_their_variant(tmp_path: Path, model: StableAudio) -> None:
    model.save_pretrained(tmp_path / "model", variant="fp16")
    half = StableAudio.from_pretrained(tmp_path / "model", device="cpu", variant="fp16")
    made = half.generate("kick", duration=0.1, steps=1, seed=0, progress=False)
    assert made.tags[0]["model"] == {"name": str(tmp_path / "model"), "variant": "fp16"}


def refusal(source: Path | str, variant: str) -> str:
    with pytest.raises(ValueError, match="variant") as caught:
        load(source, device="cpu", variant=variant)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_unknown_variant_is_told_with_those_that_there_are(
    tmp_path: Path, model: StableAudio
) -> None:
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    assert refusal(folder, "fp16") == (
        f"{folder}: there is no variant 'fp16'; it has none; leave it out"
    )
    model.save_pretrained(folder, variant="bf16")
    model.save_pretrained(folder, variant="fp16", max_shard_size=100_000)
    assert refusal(folder, "f16") == (
        f"{folder}: there is no variant 'f16'; it has bf16, fp16; did you mean \"fp16\"?"
    )
    assert refusal(folder / "model.safetensors", "fp16") == (
        f"{folder}/model.safetensors: is a file; variants are of folders and hub names: leave out "
        "'fp16'"
    )
    assert refusal("tiny", "fp16").endswith("no variant 'fp16'; it has none; leave it out")


def test_a_variant_of_another_model_is_refused(
    tmp_path: Path, model: StableAudio, wide_model_folder: Path
) -> None:
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    before = names(folder)
    other = StableAudio.from_pretrained(wide_model_folder, device="cpu")
    with pytest.raises(ValueError, match="another configuration") as caught:
        other.save_pretrained(folder, variant="fp16")
    assert str(caught.value) == (
        f"{folder}: model.safetensors would stay there, which is of another configuration "
        "($.conditioning.width: found 16 there and found 64 here); choose another place, or delete "
        "it"
    )
    assert names(folder) == before
    other.save_pretrained(folder)
    assert same(load(folder, device="cpu"), other)


def test_a_part_of_the_weights_is_refused(tmp_path: Path, model: StableAudio) -> None:
    model.save_pretrained(tmp_path / "model", max_shard_size="50KB")
    shard = min((tmp_path / "model").glob("model-00001-*"))
    with pytest.raises(ValueError, match="is a part of the weights") as caught:
        load(shard, device="cpu")
    assert str(caught.value) == f"{shard}: is a part of the weights; load the folder {shard.parent}"


def test_a_revision_is_of_the_hub(tiny_model_folder: Path) -> None:
    for source in ("tiny", tiny_model_folder):
        with pytest.raises(ValueError, match="revisions") as caught:
            load(source, device="cpu", revision="v2")
        assert str(caught.value) == (
            f"{source} is not from the hub, whose names alone have revisions; leave out 'v2'"
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"variant": "fp-16"},
            "variant must be letters, digits and underscores, such as 'fp16', got 'fp-16'",
        ),
        (
            {"variant": ""},
            "variant must be letters, digits and underscores, such as 'fp16', got ''",
        ),
        (
            {"variant": "fp16", "dtype": "float32"},
            "variant 'fp16' is of float16, got dtype 'float32'; leave one of them out",
        ),
        (
            {"max_shard_size": "5 apples"},
            "max_shard_size must be 1 byte or more, or a size such as '500MB' or '5GB', got "
            "'5 apples'",
        ),
        (
            {"max_shard_size": 0},
            "max_shard_size must be 1 byte or more, or a size such as '500MB' or '5GB', got 0",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    tmp_path: Path, model: StableAudio, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=r"variant|max_shard_size") as caught:
        model.save_pretrained(tmp_path / "model", **settings)
    assert str(caught.value) == message
    assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("types_unchecked")
def test_wrong_types_are_told(tmp_path: Path, model: StableAudio) -> None:
    for settings, message in (
        ({"variant": 16}, "variant must be a name, got 16 (int)"),
        (
            {"max_shard_size": 1.5},
            "max_shard_size must be bytes, or a size such as '5GB', got 1.5 (float)",
        ),
        ({"card": "README"}, "card must be a ModelCard, got 'README' (str)"),
    ):
        with pytest.raises(TypeError) as caught:
            model.save_pretrained(tmp_path / "model", **settings)  # type: ignore[arg-type]
        assert str(caught.value) == message
    for settings, message in (
        ({"variant": 16}, "variant must be a name, got 16 (int)"),
        ({"revision": 2}, "revision must be a name, got 2 (int)"),
    ):
        with pytest.raises(TypeError) as caught:
            load("tiny", **settings)  # type: ignore[call-overload]
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, None), (7, 7), ("7", 7), ("5GB", 5 * 10**9), ("1.5 mb", 1_500_000), ("2kb", 2000)],
)
def test_sizes(size: int | str | None, expected: int | None) -> None:
    assert shard_bytes(size) == expected


def test_types_that_variants_promise() -> None:
    assert stored_dtype(None, None) is None
    assert stored_dtype(None, "ema") is None
    assert stored_dtype(None, variant_name("bf16")) is torch.bfloat16
    assert stored_dtype("float16", "fp16") is torch.float16
    assert stored_dtype(torch.float64, "ema") is torch.float64


@pytest.mark.parametrize(
    ("file", "variant", "expected"),
    [
        ("model.safetensors", None, True),
        ("model.safetensors", "fp16", False),
        ("model.fp16.safetensors", "fp16", True),
        ("model.fp16.safetensors", None, False),
        (INDEX, None, True),
        (FP16_INDEX, "fp16", True),
        (FP16_INDEX, None, False),
        ("model-00001-of-00002.safetensors", None, True),
        ("model.fp16-00001-of-00002.safetensors", "fp16", True),
        ("model-00001-of-00002.fp16.safetensors", "fp16", True),
        ("model-00001-of-00002.fp16.safetensors", None, False),
        ("model-notes.safetensors", None, False),
        ("config.json", None, False),
    ],
)
def test_files_of_a_variant(file: str, variant: str | None, expected: bool) -> None:
    assert holds(file, "model.safetensors", variant) is expected


def test_parts_may_lack_a_variant_that_others_have(tmp_path: Path) -> None:
    parts = [["model.fp16.safetensors", "model.safetensors"], ["model.safetensors"]]
    check_variant("fp16", parts, ["model.safetensors"], source="x")
    for index, files in enumerate(parts):
        (tmp_path / str(index)).mkdir()
        for number, file in enumerate(files):
            value = {"a": torch.full((1,), float(number))}
            save_file(value, tmp_path / str(index) / file)
    for index, expected in enumerate(("model.fp16.safetensors", "model.safetensors")):
        folder = tmp_path / str(index)
        path, _ = read_weights(folder, ["model.safetensors"], variant="fp16")
        assert path.name == expected
