"""Adapters of other programs than peft, which are told by what their files say of themselves."""

from pathlib import Path

from safetensors import safe_open

from stable_audio_open.checkpoint.weights.tensors import CheckpointError, read_header

HEADER = "lora_config"
"""Entry of the header of a safetensors file with an adapter of the authors' newer platform."""
PARAMETRISED = ".parametrizations."
"""Part of its tensors' names."""
_SHOWN = 80
"""Characters of the entry that an error shows."""


def refuse_other_kind(path: Path) -> None:
    """Refuse what is no adapter in peft's format, naming its kind where that is known.

    Args:
        path: A folder or a file.

    Raises:
        CheckpointError: It is an adapter of another kind, or a file.
    """
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    for file in files:
        if file.suffix == ".safetensors" and file.is_file() and (kind := _kind(file)):
            raise CheckpointError(
                f"{file}: is an adapter of the authors' newer platform ({kind}), a kind that is "
                "not supported; allowed: a folder in peft's format"
            )
    if path.is_file():
        remedy = "; write one by export --to lora" if path.suffix == ".ckpt" else ""
        raise CheckpointError(
            f"{path}: is a file; allowed: a folder in peft's format, with its "
            f"adapter_config.json{remedy}"
        )


def _kind(file: Path) -> str | None:
    header = read_header(file)
    if HEADER in header:
        text = " ".join(str(header[HEADER]).split())
        shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
        return f"{HEADER} {shown}"
    with safe_open(file, framework="pt") as tensors:
        found = [name for name in tensors.keys() if PARAMETRISED in name and "lora" in name]  # noqa: SIM118
    return f"a tensor {found[0]}" if found else None
