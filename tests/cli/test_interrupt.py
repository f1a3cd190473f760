"""Ctrl-C, sent to a process of its own."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# What is started in the background, as a test run may be, has Ctrl-C ignored, and hands that on.
MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from stable_audio_open.cli.main import main; sys.exit(main())"
)


@pytest.fixture
def command(tmp_path: Path, tiny_model_folder: Path) -> list[str]:
    """A request whose output exists already."""
    (tmp_path / "old.wav").write_bytes(b"an earlier sound")
    model = ["--model", str(tiny_model_folder)]
    return ["generate", "deep kick", *model, "--output", str(tmp_path / "old.wav"), "--overwrite"]


def untouched(folder: Path) -> bool:
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    return contents == {"old.wav": b"an earlier sound"}


@pytest.mark.slow
def test_while_sampling(command: list[str], tmp_path: Path):
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *command, "--steps", "10000"],
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(terminal)
    shown = b""
    while b"steps/s" not in shown:
        shown += os.read(reader, 1024)
    process.send_signal(signal.SIGINT)
    while chunk := read_terminal(reader):
        shown += chunk
    os.close(reader)
    assert process.wait() == 130
    assert shown.endswith(b"stable-audio-open: interrupted\r\n")
    assert b"Traceback" not in shown
    assert untouched(tmp_path)


def read_terminal(reader: int) -> bytes:
    """What comes next; nothing when the other side has closed, which Linux tells by an error."""
    try:
        return os.read(reader, 1024)
    except OSError:
        return b""


@pytest.mark.slow
def test_while_saving(command: list[str], tmp_path: Path):
    """When the new file is complete but still beside the old one."""
    ctrl_c = "import os; os.fsync = lambda _: os.kill(os.getpid(), signal.SIGINT); "
    result = subprocess.run(
        [sys.executable, "-c", ctrl_c + MAIN, *command, "--steps", "2"],
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (130, "stable-audio-open: interrupted\n")
    assert untouched(tmp_path)
