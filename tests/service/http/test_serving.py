"""The command, as a process of its own: it listens, serves, and ends as it is told."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.cli.main import main

SECRET = "the secret of ann"
TRIED = (b"", b"blat")
"""What Python's tempfile writes to see whether a folder can be written to."""
COMMAND = (sys.executable, "-m", "stable_audio_open.cli.main", "serve")


class Served(NamedTuple):
    process: subprocess.Popen[str]
    client: httpx.Client

    def ask(self, **body: Any) -> str:
        response = self.client.post("/v1/generate", json={"prompt": "bell", **body})
        assert response.status_code == 202, response.text
        return str(response.headers["location"])

    def events(self, place: str) -> Iterator[dict[str, Any]]:
        with self.client.stream("GET", f"{place}/events") as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


@pytest.fixture
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    keys = tmp_path / "keys"
    keys.write_text(f"ann:{SECRET}\n")
    keys.chmod(0o600)
    command = (
        *(*COMMAND, "--port", "0", "--no-page"),
        *("--device", "cpu", "--threads", "1", "--auth", str(keys), *request.param),
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address, _, rest = process.stdout.readline().partition(": tiny on cpu")
            assert rest == "; Ctrl-C ends it\n"
            headers = {"authorization": f"Bearer {SECRET}"}
            with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
                yield Served(process, client)
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("served", [["--most-steps", "10000", "--end-time", "0.5"]], indirect=True)
def test_what_runs_is_cancelled_within_its_limit_and_what_waits_is_told(served: Served) -> None:
    assert served.client.get("/health").json() == {"status": "ok"}
    assert httpx.get(served.client.base_url.join("/v1/models")).status_code == 401
    running = served.events(served.ask(steps=10_000))
    assert next(event for event in running if event["event"] == "step")
    waiting = served.events(served.ask())
    assert next(waiting) == {"event": "waiting", "place": 1}
    served.process.send_signal(signal.SIGTERM)
    reason = "the service has ended"
    assert list(waiting) == [{"event": "cancelled", "reason": reason}]
    assert list(running)[-1] == {"event": "cancelled", "reason": reason}
    assert served.process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("served", [[]], indirect=True)
def test_what_runs_may_end_and_is_that_of_the_command_line(served: Served, tmp_path: Path) -> None:
    place = served.ask(steps=30, seed=7, duration=1)
    running = served.events(place)
    assert next(event for event in running if event["event"] == "step")
    served.process.send_signal(signal.SIGINT)
    assert list(running)[-1] == {"event": "done", "seeds": [7], "seconds": [1.0]}
    assert served.client.post("/v1/generate", json={"prompt": "bell"}).status_code == 503
    content = served.client.get(f"{place}/result").content
    (tmp_path / "served.wav").write_bytes(content)
    assert served.process.wait() == 0
    own = tmp_path / "own.wav"
    options = (
        "--steps",
        "30",
        "--seed",
        "7",
        "--duration",
        "1",
        "--device",
        "cpu",
        "--threads",
        "1",
    )
    assert main(["generate", "bell", *options, "--output", str(own)]) == 0
    assert torch.equal(Audio.load(tmp_path / "served.wav").samples, Audio.load(own).samples)
    assert (
        main(["regenerate", str(tmp_path / "served.wav"), "--output", str(tmp_path / "x.wav")]) == 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("served", [[]], indirect=True)
def test_it_ends_where_nobody_reads_what_it_says(served: Served) -> None:
    """As in `serve | head -1`: the line that it is ending has nowhere to go."""
    assert served.process.stdout is not None
    served.process.stdout.close()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == 0


@pytest.mark.slow
def test_while_models_are_loaded_it_ends_at_once_and_tidies_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [*COMMAND, "--port", str(port), "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        while process.poll() is None and not listens(port):
            pass
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert process.stderr.read() == "stable-audio-open: interrupted\n"
        assert process.wait() == 130
    # A worker that is killed while Python tries whether it can write here leaves the file of that.
    left = [path for path in tmp_path.iterdir() if path.is_dir() or path.read_bytes() not in TRIED]
    assert left == []


@pytest.mark.slow
def test_what_it_left_when_it_was_killed_goes_with_the_next(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    (tmp_path / "x.wav").write_bytes(b"RIFF" + bytes(1000))
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    command = [*COMMAND, "--port", "0", "--device", "cpu", "--threads", "1"]
    for ending in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            address = process.stdout.readline().partition(": tiny on cpu")[0]
            (folder,) = (tmp_path / "tmp").glob(".stable-audio-open-*")
            files = {"files": (tmp_path / "x.wav").read_bytes()}
            sent = httpx.post(f"{address}/page/gradio_api/upload", files=files, timeout=60)
            (path,) = sent.json()
            assert Path(path).is_relative_to(folder)
            process.send_signal(ending)
            process.stdout.read()
    assert list((tmp_path / "tmp").iterdir()) == []


def listens(port: int) -> bool:
    """Return whether anything listens, which is before models are loaded."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
