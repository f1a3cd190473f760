"""Named pipes, sockets and devices in the place of recordings and checkpoints: refused at once."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stable_audio_open.checkpoint.bundled import BUNDLED

Run = Callable[..., CompletedProcess[str]]

LISTED = '{"file": "a/pipe.wav", "caption": "x"}\n'


@pytest.fixture
def special(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pipes that nobody writes to, and a socket, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "model/text_encoder", "lone"):
        Path(name).mkdir(parents=True)
    pipes = ("pipe.wav", "a/pipe.wav", "pipe.ckpt", "pipe.safetensors", "pipe.jsonl", "pipe.pt")
    for name in pipes:
        os.mkfifo(name)
    for path in BUNDLED["tiny"].glob("*.json"):
        shutil.copy(path, "model")
    os.mkfifo("model/model.safetensors")
    Path("listed.jsonl").write_text(LISTED)
    with socket.socket(socket.AF_UNIX) as own:
        own.bind("socket.wav")
        yield


@pytest.mark.usefixtures("special")
@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("reconstruct pipe.wav --output x.wav", "pipe.wav: is a named pipe"),
        ("reconstruct socket.wav --output x.wav", "socket.wav: is a socket"),
        ("reconstruct /dev/zero --output x.wav", "/dev/zero: is a device"),
        ("generate kick --init-audio pipe.wav --output x.wav", "pipe.wav: is a named pipe"),
        ("generate kick --model pipe.ckpt --output x.wav", "pipe.ckpt: is a named pipe"),
        ("generate kick --model pipe.safetensors --output x.wav", "pipe.safetensors: is a named"),
        ("generate kick --model model --output x.wav", "model/model.safetensors: is a named pipe"),
        ("generate kick --model /dev/zero --output x.wav", "/dev/zero: is a device"),
        ("generate kick --text-encoder pipe.pt --output x.wav", "pipe.pt: is a named pipe"),
        ("info pipe.ckpt", "pipe.ckpt: is a named pipe"),
        ("evaluate sanity a", "a/pipe.wav: is a named pipe"),
        ("evaluate frechet a a --embedder panns:pipe.pt", "pipe.pt: is a named pipe"),
        ("curate ingest manifest pipe.jsonl --output c", "pipe.jsonl: is a named pipe"),
        ("curate ingest freesound pipe.jsonl --output c", "pipe.jsonl: is a named pipe"),
    ],
)
def test_it_is_named_and_not_waited_for(line: str, name: str, run: Run) -> None:
    result = run(*line.split())
    assert result.returncode != 0
    told = result.stderr.splitlines()
    assert len(told) == 1, told
    assert name in told[0]
    assert told[0].endswith("not a file; save what it gives into a file first")


@pytest.mark.usefixtures("special")
@pytest.mark.parametrize("source", [("folder", "a"), ("manifest", "listed.jsonl")])
def test_a_catalogue_rejects_it(run: Run, source: tuple[str, str]) -> None:
    result = run("curate", "ingest", *source, "--output", "c")
    assert result.returncode != 0
    (reject,) = Path("c/rejects.jsonl").read_text().splitlines()
    assert "a pipe" in reject or "not a file" in reject
