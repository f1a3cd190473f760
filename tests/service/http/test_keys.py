"""Names and secrets: who has one comes in, by key or by password."""

import base64
from pathlib import Path

import pytest

from stable_audio_open.service.http.keys import Keys, read_keys

SECRET = "correct horse battery"


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def written(folder: Path, content: str) -> Path:
    path = folder / "keys"
    path.write_text(content)
    path.chmod(0o600)
    return path


def test_a_secret_is_its_names() -> None:
    keys = Keys({"ann": SECRET, "bob": "änother secret"})
    assert keys.name_of(f"Bearer {SECRET}") == "ann"
    assert keys.name_of(f"bearer  {SECRET} ") == "ann"
    assert keys.name_of(basic("bob", "änother secret")) == "bob"
    for wrong in (
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {SECRET}x",
        SECRET,
        f"Digest {SECRET}",
        basic("bob", SECRET),
        basic("", SECRET),
        "Basic !!!",
        "Basic /w==",
        "Bearer \ud800",
    ):
        assert keys.name_of(wrong) is None


def test_files_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, f"# clients\n\nann: {SECRET}\nbob:x:y:z 1234567\n")
    keys = read_keys(path)
    assert keys.name_of(f"Bearer {SECRET}") == "ann"
    assert keys.name_of(basic("bob", "x:y:z 1234567")) == "bob"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "keys: names nobody; write a line NAME:SECRET"),
        ("ann", "keys:1: must be NAME:SECRET"),
        (f"ann:{SECRET}\nann:{SECRET}2", "keys:2: the name 'ann' stands twice"),
        (f"ann:{SECRET}\nbob:{SECRET}", "keys:2: 'bob' has the secret of another one"),
        ("ann:short", "keys:1: the secret of 'ann' has 5 characters; at least 12"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_keys(written(tmp_path, content))


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"ann:{SECRET}\n")
    path.chmod(0o644)
    with pytest.raises(ValueError, match="can be read by others than its owner; chmod 600"):
        read_keys(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_keys(path)
