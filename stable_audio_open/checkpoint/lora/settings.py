"""peft's `adapter_config.json`: what it says of the tensors, and what cannot be merged as it means.

peft 0.21 was compared, setting by setting.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from stable_audio_open.checkpoint.weights.tensors import CheckpointError

_PLAIN: Mapping[str, Any] = {
    "fan_in_fan_out": False,
    "bias": "none",
    "lora_bias": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
}
"""Settings that change what an adapter means, and the only values supported here."""

_STARTS = (True, False, "gaussian", "eva", "orthogonal")
"""Values of `init_lora_weights` that leave the base weights as they are.

PiSSA, OLoRA, CorDA and LoftQ take their start out of the base weights, and the file does not say
how much that was.
"""

_HARMLESS = frozenset(
    {
        # what it is, and of what
        *("peft_type", "task_type", "peft_version", "auto_mapping", "inference_mode"),
        *("base_model_name_or_path", "revision"),
        # which layers have tensors: the file shows it
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
        # of training and of other settings
        *("lora_dropout", "eva_config", "corda_config", "loftq_config", "lora_ga_config"),
        *("runtime_config", "megatron_core", "qalora_group_size", "ensure_weight_tying"),
    }
)
"""Settings that do not change what the tensors mean."""

_READ = frozenset(("r", "lora_alpha", "use_rslora", "use_dora", "init_lora_weights"))

_LONGEST = 60


class AdapterSettings(NamedTuple):
    """What the tensors of an adapter mean."""

    rank: int
    scale: float
    """What `up @ down` is multiplied by."""
    is_dora: bool
    """Each row of an adapted weight has a length of its own."""


def adapter_settings(settings: object, *, source: str) -> AdapterSettings:
    """Read settings as they lie in `adapter_config.json`, or in a checkpoint of our own.

    Raises:
        CheckpointError: When they are no such settings, or the adapter is of a kind whose meaning
            here would be another than peft's.
    """
    if not isinstance(settings, Mapping):
        raise CheckpointError(
            f"{source}: found {_short(settings)} for the settings of an adapter; allowed: an object"
        )
    if settings.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{source}: peft_type is {_short(settings.get('peft_type'))}; allowed: 'LORA'"
        )
    _refuse_other_kinds(settings, source)
    rank, alpha = (settings.get(name) for name in ("r", "lora_alpha"))
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise CheckpointError(f"{source}: r is {_short(rank)}; allowed: an integer >= 1")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not _is_finite(alpha):
        raise CheckpointError(f"{source}: lora_alpha is {_short(alpha)}; allowed: a finite number")
    for name in ("use_rslora", "use_dora"):
        if not isinstance(settings.get(name), bool | None):
            value = _short(settings[name])
            raise CheckpointError(f"{source}: {name} is {value}; allowed: true or false")
    scale = float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    return AdapterSettings(rank, scale, settings.get("use_dora") or False)


def _refuse_other_kinds(settings: Mapping[str, Any], source: str) -> None:
    start = settings.get("init_lora_weights", True)
    word = isinstance(start, str) and (start in _STARTS or start.lower() == "gaussian")
    if not (word or isinstance(start, bool)):
        raise CheckpointError(
            f"{source}: init_lora_weights is {_short(start)}; allowed: "
            f"{', '.join(map(repr, _STARTS))}, since others may change the base weights; convert "
            "it with peft (path_initial_model_for_weight_conversion of save_pretrained)"
        )
    for name, value in settings.items():
        if name in _PLAIN:
            plain = _PLAIN[name]
            if value is not None and value != plain and not (value == [] and plain is None):
                raise CheckpointError(
                    f"{source}: {name} is {_short(value)}; allowed: {plain!r}, other adapters are "
                    "not supported"
                )
        elif value and name not in _HARMLESS | _READ:
            # Of a kind that is not known here, or of a peft to come.
            raise CheckpointError(
                f"{source}: {name} is {_short(value)}; allowed: leave it out, adapters that need "
                "it are not supported"
            )


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
