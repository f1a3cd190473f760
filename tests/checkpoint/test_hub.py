"""Loading by a hub name, from a small HTTP server that answers as the hub does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from stable_audio_open.checkpoint.hub.download import is_hub_name
from stable_audio_open.checkpoint.hub.needed import needed
from stable_audio_open.checkpoint.stable_audio_tools import model_keys
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.stable_audio_tools import to_stable_audio_tools
from tests.hub_server import Hub, served

LOAD = """
import json, sys
import stable_audio_open
answers = []
for name in sys.argv[1:]:
    try:
        model = stable_audio_open.load(name, device="cpu")
        weight = model.transformer.input_conv.weight
        answers.append([type(model).__name__, weight.double().sum().item()])
    except ValueError as error:
        answers.append([type(error).__name__, str(error)])
print(json.dumps(answers))
"""


@pytest.fixture
def hub(
    tmp_path: Path, wide_model_folder: Path, wide_model_config: DiffusionModelConfig
) -> Iterator[Hub]:
    """Serve one native repository and one as published, in both of its layouts at once."""
    weights = load_file(wide_model_folder / "model.safetensors")
    exported = model_keys(wide_model_config).select(weights).to_foreign(weights)
    save_file({k: v.contiguous() for k, v in exported.items()}, tmp_path / "exported.safetensors")
    published = {
        "model.safetensors": (tmp_path / "exported.safetensors").read_bytes(),
        "model_config.json": json.dumps(to_stable_audio_tools(wide_model_config)).encode(),
    }
    for path in (wide_model_folder / "text_encoder").iterdir():
        part = "tokenizer" if path.name.startswith("tokenizer") else "text_encoder"
        published[f"{part}/{path.name}"] = path.read_bytes()
    unused = [
        "README.md",
        "model.ckpt",
        "vae_model.ckpt",
        "vae_config.json",
        "model_index.json",
        "scheduler/config.json",
        "text_encoder/model.fp16.safetensors",
    ]
    for part in ("transformer", "vae", "projection_model"):
        unused += [f"{part}/config.json", f"{part}/diffusion_pytorch_model.safetensors"]
    with served() as hub:
        others = ("README.md", "samples/kick.wav", "checkpoints/last.ckpt")
        hub.add("someone/native", wide_model_folder, **dict.fromkeys(others, b"not needed"))
        hub.add("someone/published", **dict.fromkeys(unused, b"not needed"), **published)
        hub.add("someone/else", **{"README.md": b"", "pytorch_model.bin": b""})
        hub.gated.add("nobody/gated")
        yield hub


def load_from(url: str, home: Path, *names: str) -> list[list[object]]:
    """Load in a fresh process, because huggingface_hub reads its settings on import."""
    environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", LOAD, *names]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    answers: list[list[object]] = json.loads(run.stdout)
    return answers


@pytest.mark.slow
def test_only_the_needed_files_are_downloaded(
    tmp_path: Path, hub: Hub, wide_model_folder: Path
) -> None:
    weights = load_file(wide_model_folder / "model.safetensors")
    total = weights["transformer.input_conv.weight"].double().sum()
    loaded = ["StableAudio", pytest.approx(float(total))]
    names = ["native", "published", "else"]
    answers = load_from(
        hub.url,
        tmp_path / "home",
        *(f"someone/{n}" for n in names),
        "nobody/nothing",
        "nobody/gated",
    )
    assert answers == [
        loaded,
        loaded,
        ["CheckpointError", "someone/else: the repository on the hub holds no known checkpoint"],
        [
            "CheckpointError",
            "nobody/nothing: neither a local path nor a repository on the hub (a private one needs "
            "`hf auth login`)",
        ],
        [
            "CheckpointError",
            "nobody/gated: its authors ask to accept their conditions; do so at "
            "https://huggingface.co/nobody/gated, then run `hf auth login`",
        ],
    ]
    text = ["text_encoder/config.json", "text_encoder/model.safetensors"]
    tokenizer = ["tokenizer.json", "tokenizer_config.json"]
    assert sorted(set(hub.downloads)) == sorted(
        [f"someone/native/{name}" for name in ["config.json", "model.safetensors", *text]]
        + [f"someone/native/text_encoder/{name}" for name in tokenizer]
        + [
            f"someone/published/{name}"
            for name in ["model_config.json", "model.safetensors", *text]
        ]
        + [f"someone/published/tokenizer/{name}" for name in tokenizer]
    )

    hub.shutdown()
    hub.server_close()
    answers = load_from(hub.url, tmp_path / "home", "someone/native", "someone/other")
    assert answers == [
        loaded,
        [
            "CheckpointError",
            "someone/other: no local path, and the hub cannot be reached; check the connection, or "
            "load a folder",
        ],
    ]


PUBLISHED = [
    ".gitattributes",
    "LICENSE.md",
    "README.md",
    "model.ckpt",
    "model.safetensors",
    "model_config.json",
    "model_index.json",
    "projection_model/config.json",
    "projection_model/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/special_tokens_map.json",
    "tokenizer/spiece.model",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "vae_config.json",
    "vae_model.ckpt",
]
TEXT = [name for name in PUBLISHED if name.startswith(("text_encoder/", "tokenizer/"))]


def test_of_the_published_repository_one_layout_is_taken() -> None:
    own = ["model.safetensors", "model_config.json"]
    assert needed(PUBLISHED, text_encoder=True) == [*own, *TEXT]
    assert needed(PUBLISHED, text_encoder=False) == own


def test_the_checkpoint_is_taken_where_there_are_no_safetensors() -> None:
    files = [name for name in PUBLISHED if name != "model.safetensors"]
    assert needed(files, text_encoder=False) == ["model.ckpt", "model_config.json"]


def test_diffusers_layout_is_taken_where_it_is_alone() -> None:
    files = [name for name in PUBLISHED if "/" in name or name == "model_index.json"]
    expected = {name for name in files if not name.startswith("scheduler")}
    assert set(needed(files, text_encoder=True)) == expected


def test_a_lone_autoencoder_needs_no_text_encoder() -> None:
    files = ["vae_config.json", "vae_model.ckpt", *TEXT]
    assert needed(files, text_encoder=True) == ["vae_config.json", "vae_model.ckpt"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stabilityai/stable-audio-open-1.0", True),
        ("tiny", False),
        ("./models/mine", False),
        ("../mine", False),
        ("runs/mine/last", False),
        ("", False),
    ],
)
def test_hub_names(name: str, expected: bool) -> None:
    assert is_hub_name(name) is expected
