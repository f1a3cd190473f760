"""Long sounds, loops and prompts along the way on the command line."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import soundfile

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def request_words(tiny_model_folder: Path) -> list[object]:
    """A request that works and is quick."""
    return ["generate", "deep kick", "--model", tiny_model_folder, "--steps", 2, "--seed", 7]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "samples"),
    [
        ("--duration 2.5", 40000),
        ("--samples 12345", 12345),
        ("--samples 23456 --window 0.5", 23456),
        ("--loop", 16000),
        ("--loop --duration 0.5", 8000),
        ("--loop --samples 23457", 23457),
        ("--loop --bars 1 --bpm 180", 21333),
        ("--duration 2 --prompt-at 1:bell", 32000),
        ("--loop --prompt-at 0.3:bell --prompt-at 0.6:bass", 16000),
    ],
)
def test_sounds_of_every_length(
    run: Run, request_words: list[object], options: str, samples: int
) -> None:
    result = run(*request_words, *options.split(), "--output", "x.wav")
    assert (result.returncode, result.stderr) == (0, "")
    assert soundfile.info("x.wav").frames == samples
    assert result.stdout.startswith(f"x.wav: {samples / 16000:.2f} s")


@pytest.mark.slow
def test_every_option_changes_the_sound(run: Run, request_words: list[object]) -> None:
    options = [
        "", "--loop", "--loop --bars 0.375 --bpm 90", "--prompt-at 0.5:bell",
        "--prompt-at 0.6:bell", "--prompt-at 0.5:drum", "--duration 1.5", "--duration 1.6",
    ]  # fmt: skip
    contents = set()
    for option in options:
        words = [*request_words, *option.split(), "--overwrite", "--no-tags"]
        assert run(*words, "--output", "x.wav").returncode == 0
        contents.add(Path("x.wav").read_bytes())
    assert len(contents) == len(options)


def test_prompts_with_spaces_and_colons(run: Run, request_words: list[object]) -> None:
    for change in ("0.5:soft bell", "0.5:time: 3:4"):
        result = run(*request_words, "soft", "--prompt-at", change, "--output", "sounds")
        assert (result.returncode, result.stderr) == (0, "")
    assert {path.name[:4] for path in Path("sounds").iterdir()} == {"deep", "soft"}


@pytest.mark.slow
def test_lossy_loops_are_warned_of(run: Run, request_words: list[object]) -> None:
    for name in ("x.ogg", "x.mp3"):
        result = run(*request_words, "--loop", "--output", name)
        assert result.returncode == 0
        assert re.search(rf"{name}: .*loop", result.stderr)
    assert run(*request_words, "--loop", "--output", "x.flac").stderr == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--loop --duration 0.01", "a loop must last 0.1 to 3600 seconds, got 0.01"),
        ("--bars 4 --bpm 120", "bars 4 is the length of a loop; ask for one (loop)"),
        ("--loop --bars 4", "bars 4 needs bpm too: both make the length of a loop"),
        ("--loop --bars 4 --bpm 0", "bpm must be above 0 and finite, got 0.0"),
        ("--samples 0", "samples must be at least 1, got 0"),
        (
            "--samples 5 --duration 2",
            "duration 2 and samples 5 are two lengths of one sound; give one of them",
        ),
        (
            "--loop --seconds-start 2",
            "a loop has no place in a longer recording, got seconds_start 2; leave it out",
        ),
        (
            "--loop --no-trim",
            "a loop has nothing behind its end to keep; leave trim as it is",
        ),
        (
            "--prompt-at storm",
            "--prompt-at 'storm': give the second at which the prompt begins, a colon and the "
            "prompt, such as 30:storm",
        ),
        ("--prompt-at 1:", "prompt at 1 seconds is empty; describe the sound in a few words"),
        (
            "--prompt-at 3:a --prompt-at 2:b",
            "prompts must begin one after the other, got 2 after 3 seconds",
        ),
        (
            "--duration 2 --prompt-at 3:a",
            "a prompt begins at 3 seconds, and the sound ends at 2; give an earlier time or a "
            "longer duration",
        ),
    ],
)
def test_mistakes_are_told_before_the_model_is_loaded(
    refuse: Refuse, tmp_path: Path, options: str, message: str
) -> None:
    model = "no such model" if "0.01" not in options else "tiny"
    refuse("generate", "kick", "--model", model, *options.split(), code=2, message=message)
