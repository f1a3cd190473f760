import pytest
import torch

from stable_audio_open.checkpoint.weights.key_map import (
    IDENTITY,
    KeyMap,
    KeyRow,
    Leaf,
    Rule,
    expand,
)

KINDS = {
    "linear": (Leaf("weight", "w"), Leaf("bias", "b")),
    "matrix": (Leaf("weight", "w"),),
    "snake": (Leaf("alpha", "a", "channels"),),
}


def test_rows_are_expanded_over_blocks_and_units() -> None:
    rows = [
        KeyRow("input", "layers.0", "matrix"),
        KeyRow("blocks.{b}.units.{u}", "layers.{b1}.layers.{u2}", "matrix"),
        KeyRow("output", "layers.{n1}", "linear"),
    ]
    names = {rule.native: rule.foreign for rule in expand(rows, KINDS, blocks=2)}
    assert names == {
        "input.weight": ("layers.0.w",),
        "blocks.0.units.0.weight": ("layers.1.layers.2.w",),
        "blocks.0.units.1.weight": ("layers.1.layers.3.w",),
        "blocks.0.units.2.weight": ("layers.1.layers.4.w",),
        "blocks.1.units.0.weight": ("layers.2.layers.2.w",),
        "blocks.1.units.1.weight": ("layers.2.layers.3.w",),
        "blocks.1.units.2.weight": ("layers.2.layers.4.w",),
        "output.weight": ("layers.3.w",),
        "output.bias": ("layers.3.b",),
    }


@pytest.mark.parametrize(
    ("rule", "shapes"),
    [
        (Rule("x", ("a",)), [(6,)]),
        (Rule("x", ("q", "k", "v")), [(2,), (2,), (2,)]),
        (Rule("x", ("a",), "column"), [(6, 1)]),
        (Rule("x", ("a",), "channels"), [(1, 6, 1)]),
    ],
)
def test_there_and_back(rule: Rule, shapes: list[tuple[int, ...]]) -> None:
    keys = KeyMap((rule,))
    native = {"x": torch.arange(6.0)}
    foreign = keys.to_foreign(native)
    assert {name: tuple(t.shape) for name, t in foreign.items()} == dict(
        zip(rule.foreign, shapes, strict=True)
    )
    assert torch.equal(keys.to_native(foreign)["x"], native["x"])


def test_stacked_tensors_keep_their_order() -> None:
    (rule,) = expand([KeyRow("qkv", "q|k|v", "matrix")], KINDS, blocks=1)
    parts = {"q.w": torch.ones(1, 2), "k.w": torch.full((1, 2), 2.0), "v.w": torch.zeros(1, 2)}
    assert KeyMap((rule,)).to_native(parts)["qkv.weight"].tolist() == [[1, 1], [2, 2], [0, 0]]


def test_prefixes_rename_what_no_rule_names() -> None:
    keys = KeyMap((Rule("text.bias", ("b",)),), prefixes={"text.": "t5."})
    selected = keys.under("model.", "m.").select(["model.text.bias", "model.text.layer.weight"])
    assert [rule.foreign for rule in selected.rules] == [("m.b",), ("m.t5.layer.weight",)]


def test_computed_tensors_are_not_stored() -> None:
    keys = KeyMap((Rule("a", ("A",)),), computed={"rotary": torch.arange(3.0)})
    state = {"a": torch.zeros(1), "rotary": torch.zeros(3)}
    selected = keys.select(state)
    assert list(selected.to_foreign(state)) == ["A"]
    assert selected.to_native({"A": torch.ones(1)})["rotary"].tolist() == [0, 1, 2]


def test_a_tensor_without_a_rule_is_an_error() -> None:
    with pytest.raises(KeyError, match="unknown"):
        KeyMap().select(["unknown"])


def test_the_identity_leaves_names() -> None:
    assert IDENTITY.select(["a.b"]).rules == (Rule("a.b", ("a.b",)),)
