"""Loading by a hub name, from a small HTTP server that answers as the hub does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from safetensors.torch import load_file, save_file

from stable_audio_open.checkpoint.hub import is_hub_name, needed
from stable_audio_open.checkpoint.stable_audio_tools import model_keys
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.stable_audio_tools import to_stable_audio_tools

COMMIT = "0123456789abcdef0123456789abcdef01234567"

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


class Hub(ThreadingHTTPServer):
    """Repositories are the folders `organisation/model` in a folder."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.downloads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if api else parts[:2])
        repository = self.server.root / name
        if name == "nobody/gated":
            self.send(403, b"", {"X-Error-Code": "GatedRepo"}, body=body)
        elif not repository.is_dir():
            self.send(404, b"", {"X-Error-Code": "RepoNotFound"}, body=body)
        elif api:
            files = [p for p in sorted(repository.rglob("*")) if p.is_file()]
            paths = [(str(p.relative_to(repository)), p.stat().st_size) for p in files]
            answer: object
            if parts[4:5] == ["tree"]:
                answer = [
                    {
                        "type": "file",
                        "path": path,
                        "size": size,
                        "oid": sha1(path.encode()).hexdigest(),
                    }
                    for path, size in paths
                ]
            else:
                siblings = [{"rfilename": path} for path, _ in paths]
                answer = {"id": name, "sha": COMMIT, "siblings": siblings}
            self.send(200, json.dumps(answer).encode(), {}, body=body)
        else:
            path = "/".join(parts[4:])
            etag = sha1(f"{name}/{path}".encode()).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
            if body:
                self.server.downloads.append(f"{name}/{path}")
            self.send(200, (repository / path).read_bytes(), headers, body=body)

    def send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def hub(
    tmp_path: Path, wide_model_folder: Path, wide_model_config: DiffusionModelConfig
) -> Iterator[Hub]:
    """Serve one native repository and one as published, in both of its layouts at once."""
    weights = load_file(wide_model_folder / "model.safetensors")
    text_encoder = {path.name: path for path in (wide_model_folder / "text_encoder").iterdir()}

    ours = tmp_path / "hub/someone/native"
    for path in [path for path in wide_model_folder.rglob("*") if path.is_file()]:
        link(path, ours / path.relative_to(wide_model_folder))
    write(ours, "README.md", "samples/kick.wav", "checkpoints/last.ckpt")

    published = tmp_path / "hub/someone/published"
    exported = model_keys(wide_model_config).select(weights).to_foreign(weights)
    write(published, "README.md", "model.ckpt", "vae_model.ckpt", "vae_config.json")
    write(
        published,
        "model_index.json",
        "scheduler/config.json",
        "text_encoder/model.fp16.safetensors",
    )
    for part in ("transformer", "vae", "projection_model"):
        write(published, f"{part}/config.json", f"{part}/diffusion_pytorch_model.safetensors")
    save_file({k: v.contiguous() for k, v in exported.items()}, published / "model.safetensors")
    (published / "model_config.json").write_text(
        json.dumps(to_stable_audio_tools(wide_model_config))
    )
    for name, path in text_encoder.items():
        part = "tokenizer" if name.startswith("tokenizer") else "text_encoder"
        link(path, published / part / name)

    write(tmp_path / "hub/someone/else", "README.md", "pytorch_model.bin")
    server = Hub(tmp_path / "hub")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("not needed")


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
    hub.socket.close()
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
