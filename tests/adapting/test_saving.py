"""Models with adapters that are copied, pickled and saved."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stable_audio_open.pretrained import StableAudio

Write = Callable[..., Path]
REQUEST: dict[str, Any] = {"duration": 0.3, "steps": 3, "seed": 3, "progress": False}


@pytest.mark.parametrize("trip", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_its_adapters(
    model: StableAudio, random_adapter: Write, trip: Callable[[StableAudio], StableAudio]
) -> None:
    base = model.generate("deep kick", **REQUEST)
    model.load_adapter(random_adapter(is_dora=True), name="a", weight=0.5, interval=(5.0, 100.0))
    ours = model.generate("deep kick", **REQUEST)
    again = trip(model)
    assert again.adapters == model.adapters
    theirs = again.generate("deep kick", **REQUEST)
    torch.testing.assert_close(theirs.samples, ours.samples)
    for name in ("weights", "settings", "config"):
        assert theirs.tags[0][name] == ours.tags[0][name]
    assert theirs.tags[0]["model"]["adapters"] == ours.tags[0]["model"]["adapters"]
    again.unload_adapter("a")
    torch.testing.assert_close(again.generate("deep kick", **REQUEST).samples, base.samples)
    assert torch.equal(model.generate("deep kick", **REQUEST).samples, ours.samples)


def test_saved_weights_have_them_merged(
    model: StableAudio, random_adapter: Write, tmp_path: Path
) -> None:
    model.load_adapter(random_adapter(), weight=0.5, layers=["*.qkv"])
    model.load_adapter(random_adapter(seed=1), weight=0.0, interval=(1.0, 2.0))
    own = model.transformer.blocks[0].self_attention.qkv.weight.clone()  # type: ignore[union-attr]
    model.save_pretrained(tmp_path / "saved")
    assert torch.equal(own, model.transformer.blocks[0].self_attention.qkv.weight)  # type: ignore[union-attr]
    again = StableAudio.from_pretrained(tmp_path / "saved", device="cpu")
    assert again.adapters == {}
    torch.testing.assert_close(
        again.generate("deep kick", **REQUEST).samples,
        model.generate("deep kick", **REQUEST).samples,
    )


def test_weights_that_change_with_the_level_are_not_saved(
    model: StableAudio, random_adapter: Write, tmp_path: Path
) -> None:
    model.load_adapter(random_adapter(), name="a", interval=(1.0, 80.0))
    with pytest.raises(
        ValueError,
        match=r"^the adapter 'a' is active between sigma 1 and 80 alone, which saved weights "
        r"cannot be; set it without an interval, or unload it$",
    ):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_the_autoencoder_is_saved_without(
    model: StableAudio, random_adapter: Write, tmp_path: Path
) -> None:
    model.load_adapter(random_adapter(), name="a", interval=(1.0, 80.0))
    model.autoencoder.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "config.json").is_file()
