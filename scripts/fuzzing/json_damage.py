"""Mutations of JSON that follow its structure."""

import copy
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Literal, NamedTuple

Sort = Literal["value", "type", "constant", "twice", "extra", "name", "dropped", "list", "deep"]
EXTREMES: tuple[Any, ...] = (
    *(0, -1, 1, 2, 10**6, 10**9, 10**30, 2**31, 2**63, 2**64, -(2**63), 10**400),
    *(0.0, -0.0, 0.5, 1.5, 1e-320, 1e308, -1e308, True, False, None),
    *("", " ", "\0", "a\nb", "../../..", "/", "é\u0301", "\ud800", "😀" * 60, "x" * 5000),
    *([], {}, [[]], [None], {"": ""}, {"type": "vae"}),
)
CONSTANTS = (float("nan"), float("inf"), float("-inf"))
DEPTH = 100_000
_SECOND, _DEEP = "\x01second ", "\x01deep"


class DamagedJson(NamedTuple):
    """A JSON text after a mutation."""

    text: bytes
    words: str
    sort: Sort
    """`type` is a number, text or boolean that became a value of quite another type; `constant` is
    NaN or an infinity, `twice` a name that occurs twice in an object."""


Slot = tuple[Any, Any, str]
"""An object or list, a name or index in it, and the path there."""


def damage_json(content: bytes, random: Random) -> DamagedJson:
    """Return the text with one mutation, which may change nothing of what it means."""
    root = [json.loads(content)]
    slots = list(_slots(root[0], "$"))
    if not slots:
        return _replace((root, 0, "$"), random, root)
    mutate: Callable[[Slot, Random, Any], DamagedJson] = random.choice(_MUTATIONS)
    return mutate(random.choice(slots), random, root)


def _slots(value: Any, path: str) -> Iterator[Slot]:
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = [(name, f"{path}.{name}") for name in value]
    elif isinstance(value, list):
        pairs = [(index, f"{path}[{index}]") for index in range(len(value))]
    for key, inner in pairs:
        yield value, key, inner
        yield from _slots(value[key], inner)


def _text(root: Any) -> bytes:
    text = json.dumps(root[0])
    text = text.replace(json.dumps(_SECOND)[1:-1], "")
    return text.replace(json.dumps(_DEEP), "[" * DEPTH + "]" * DEPTH).encode()


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _replace(slot: Slot, random: Random, root: Any) -> DamagedJson:
    owner, key, path = slot
    old, new = owner[key], copy.deepcopy(random.choice(EXTREMES))
    owner[key] = new
    sort: Sort = "type" if _is_another_type(old, new) else "value"
    return DamagedJson(_text(root), f"{path} is {_shown(new)} instead of {_shown(old)}", sort)


def _is_another_type(old: Any, new: Any) -> bool:
    """Say whether no field can have both: null may be allowed, and an integer is a number."""
    if old is None or new is None or isinstance(old, dict | list):
        return False
    if isinstance(old, str):
        return isinstance(new, bool | int | float | list)
    if isinstance(old, bool):
        return not isinstance(new, bool)
    return isinstance(new, bool | dict | list | str)


def _other_type(slot: Slot, random: Random, root: Any) -> DamagedJson:
    owner, key, path = slot
    old = owner[key]
    choices = [new for new in EXTREMES if _is_another_type(old, new)]
    if not choices:
        return _replace(slot, random, root)
    owner[key] = copy.deepcopy(random.choice(choices))
    words = f"{path} is {_shown(owner[key])} instead of {_shown(old)}"
    return DamagedJson(_text(root), words, "type")


def _constant(slot: Slot, random: Random, root: Any) -> DamagedJson:
    owner, key, path = slot
    owner[key] = random.choice(CONSTANTS)
    return DamagedJson(_text(root), f"{path} is {owner[key]}", "constant")


def _nested(slot: Slot, _: Random, root: Any) -> DamagedJson:
    owner, key, path = slot
    owner[key] = _DEEP
    return DamagedJson(_text(root), f"{path} is {DEPTH} lists in each other", "deep")


def _rename(slot: Slot, random: Random, root: Any) -> DamagedJson:
    owner, key, path = slot
    if not isinstance(owner, dict):
        return _listed(slot, random, root)
    name = random.choice((key.upper() + "_", key[:-1], "", key + "\0", "x" * 300))
    if name in owner:
        return _replace(slot, random, root)
    owner[name] = owner.pop(key)
    return DamagedJson(_text(root), f"{path} is called {_shown(name)}", "name")


def _drop(slot: Slot, _: Random, root: Any) -> DamagedJson:
    owner, key, path = slot
    del owner[key]
    return DamagedJson(_text(root), f"{path} is left out", "dropped")


def _repeat(slot: Slot, random: Random, root: Any) -> DamagedJson:
    owner, key, path = slot
    if not isinstance(owner, dict):
        return _listed(slot, random, root)
    owner[_SECOND + key] = copy.deepcopy(random.choice((owner[key], 1, None)))
    return DamagedJson(_text(root), f"{path} is there twice", "twice")


def _extra(slot: Slot, random: Random, root: Any) -> DamagedJson:
    owner, _, path = slot
    if not isinstance(owner, dict):
        return _listed(slot, random, root)
    name = random.choice(("zz_unknown", "Type", "😀", "\u202e", "a" * 1000))
    owner[name] = random.choice((1, None, "x"))
    return DamagedJson(_text(root), f"{_shown(name)} is added beside {path}", "extra")


def _listed(slot: Slot, random: Random, root: Any) -> DamagedJson:
    owner, key, path = slot
    if not isinstance(owner, list):
        return _replace(slot, random, root)
    what = random.choice(("emptied", "doubled", "without this item", "of 3000 items"))
    owner[:] = {
        "emptied": [],
        "doubled": owner + copy.deepcopy(owner),
        "without this item": owner[:key] + owner[key + 1 :],
        "of 3000 items": [copy.deepcopy(owner[key]) for _ in range(3000)],
    }[what]
    return DamagedJson(_text(root), f"the list of {path} is {what}", "list")


_MUTATIONS = (
    *(_replace, _replace, _replace, _other_type, _other_type, _constant, _nested),
    *(_rename, _drop, _drop, _repeat, _extra, _listed),
)
