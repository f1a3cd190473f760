"""What the diffusion transformer is conditioned on: text and timing (section 2.2)."""

from msgspec import Struct

from stable_audio_open.config.fields import Name, Number, Size


class T5Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="t5"):
    """A prompt, embedded by the encoder half of a T5 model."""

    id: Name
    """What the rest of the file calls this conditioner."""
    model: Name
    """Hub name, or a folder with the encoder and its tokenizer."""
    max_length: Size
    """Tokens per prompt: longer prompts are cut, shorter ones padded."""
    trainable: bool = False
    """Train the text encoder together with the transformer (the paper keeps T5 frozen)."""


class NumberConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="number"):
    """A number, such as seconds or beats per minute, embedded as one token."""

    id: Name
    """What the rest of the file calls this conditioner."""
    min: Number
    """Smaller numbers are raised to this one."""
    max: Number
    """Larger numbers are lowered to this one."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.min >= self.max:
            raise ValueError(f"`min` must be below `max`, found {self.min:g} and {self.max:g}")


ConditionerConfig = T5Config | NumberConfig


class ConditioningConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"global_": "global"}
):
    """All conditioners and where their outputs go."""

    width: Size
    """Features of every condition token (768 when published)."""
    conditioners: tuple[ConditionerConfig, ...]
    """The text `prompt` and any numbers.

    `seconds_start` and `seconds_total` are given by the library itself; numbers of other names by
    who generates, and by fields of these names in the manifest of a training."""
    cross_attention: tuple[Name, ...]
    """Ids whose tokens are concatenated along time for cross-attention."""
    global_: tuple[Name, ...]
    """Ids whose single tokens are concatenated along features for the prepended token."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Ids of the numbers."""
        return tuple(part.id for part in self.conditioners if isinstance(part, NumberConfig))

    def __post_init__(self) -> None:
        """Check that ids are unique, known, used, and of a kind that fits their place."""
        ids = [conditioner.id for conditioner in self.conditioners]
        for name in ids:
            if ids.count(name) > 1:
                raise ValueError(f'two conditioners have the id "{name}"; ids must be unique')
        for place, names in (("cross_attention", self.cross_attention), ("global", self.global_)):
            for name in names:
                if name not in ids:
                    raise ValueError(
                        f'`{place}` names the conditioner "{name}"; there are: {_list(ids)}'
                    )
                if names.count(name) > 1:
                    raise ValueError(f'`{place}` names "{name}" twice; allowed: once')
        for name in ids:
            if name not in (*self.cross_attention, *self.global_):
                raise ValueError(
                    f'the conditioner "{name}" is used nowhere; name it in `cross_attention`'
                )
        for name in self.global_:
            if name not in self.numbers:
                raise ValueError(
                    f'`global` takes single tokens, but "{name}" is a text; '
                    f"allowed: {_list([*self.numbers])}"
                )


def _list(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "none"
