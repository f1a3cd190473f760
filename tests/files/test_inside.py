import pytest

from stable_audio_open.files.inside import is_inside, is_name


@pytest.mark.parametrize("file", ["a.wav", "a/b.wav", "./a.wav", "a..b/..c", "shard.tar/a.flac"])
def test_inside(file: str) -> None:
    assert is_inside(file)


@pytest.mark.parametrize("file", ["", ".", "..", "../a", "a/../../b", "/a", "a/..", "a\0.wav"])
def test_not_inside(file: str) -> None:
    assert not is_inside(file)
    assert not is_name(file)


def test_names() -> None:
    assert is_name("a.wav")
    assert not is_name("a/b.wav")
    assert not is_name("./a.wav")
