"""What `serve` refuses before it loads anything."""

import socket
from pathlib import Path

import pytest

from stable_audio_open.cli.main import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 can be reached from other machines; give --auth"),
        (["--host", "::"], "can be reached from other machines"),
        (["--host", "studio.example"], "can be reached from other machines"),
        (["--model", "tiny", "--model", "x/tiny"], 'two models are named "tiny"'),
        (["--lora", "=x"], "'=x' names nothing"),
        (["--most-steps", "0"], "steps must be above 0, got 0"),
        (["--keep", "nan"], "kept_seconds must be above 0, got nan"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_address_that_is_taken_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port}: cannot be listened at (Address already in use)" in error


def test_a_file_of_keys_is_read_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--auth", str(tmp_path / "keys")]) == 1
    assert "keys: No such file or directory" in capsys.readouterr().err
    (tmp_path / "keys").write_text("ann:short")
    (tmp_path / "keys").chmod(0o600)
    assert main(["serve", "--port", "0", "--auth", str(tmp_path / "keys")]) == 2
    assert "the secret of 'ann' has 5 characters" in capsys.readouterr().err
