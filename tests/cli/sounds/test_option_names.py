"""Options are called as Python calls arguments; names of earlier versions are hidden."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.recorded.recorded import arguments_of

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def request_words(tiny_model_folder: Path) -> list[object]:
    """A request that works and is quick."""
    return ["generate", "deep kick", "--model", tiny_model_folder, "--steps", 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("--guidance-scale 3", "--guidance 3"),
        ("--guidance-scale 3 --guidance-rescale 0.5", "--guidance 3 --rescale 0.5"),
        ("--negative-prompt bell", "--negative bell"),
    ],
)
def test_options_have_a_short_name_too(
    run: Run, request_words: list[object], long: str, short: str
):
    sounds = []
    for words in (long, short, f"{long} {short}"):
        result = run(
            *(*request_words, "--seed", 7, *words.split(), "--output", "x.wav", "--overwrite")
        )
        assert (result.returncode, result.stderr) == (0, "")
        sounds.append(Path("x.wav").read_bytes())
    assert sounds[0] == sounds[1] == sounds[2]
    assert run(*request_words, "--seed", 7, "--output", "x.wav", "--overwrite").returncode == 0
    assert Path("x.wav").read_bytes() != sounds[0]


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("--guidance-scale 7.0", "--guidance 3.0"),
        ("--guidance-rescale 0.0", "--rescale 0.5"),
        ("--negative-prompt bell", "--negative drum"),
    ],
)
def test_two_values_under_two_names_are_refused(
    refuse: Refuse, request_words: list[object], long: str, short: str
):
    """Also where one of them is the default."""
    refuse(
        *(*request_words, *short.split(), *long.split()),
        code=2,
        message=f"{long} and {short} are two names of one option; give {long.split()[0]} alone",
    )


@pytest.mark.parametrize(
    "command", ["generate", "evaluate generate", "evaluate protocol", "evaluate memorisation"]
)
def test_short_names_are_hidden(run: Run, monkeypatch: pytest.MonkeyPatch, command: str):
    monkeypatch.setenv("COLUMNS", "200")
    shown = set(re.findall(r"--[\w-]+", run(*command.split(), "--help").stdout))
    assert "--guidance-scale" in shown
    assert not shown & {"--guidance", "--rescale", "--negative"}


@pytest.mark.parametrize("command", ["generate", "inpaint", "extend", "interpolate"])
def test_options_are_called_as_in_python(run: Run, monkeypatch: pytest.MonkeyPatch, command: str):
    """All but what is no option: prompt and sound, the bar of a terminal, and code.

    Conditions, spans and adapters are given one by one.
    """
    monkeypatch.setenv("COLUMNS", "200")
    shown = set(re.findall(r"--[\w-]+", run(command, "--help").stdout))
    options = {
        "--" + name.replace("_", "-") for name in arguments_of(getattr(StableAudio, command))
    }
    apart = {"--prompt", "--audio", "--conditions", "--spans", "--adapters"}
    assert options - shown == options & apart
    assert {"--condition", "--guidance-at", "--steps", "--guidance-norm", "--sigma-min"} <= shown
    assert {"--" + name.replace("_", "-") for name in Finishing.__struct_fields__} <= shown
    assert {"--name", "--no-tags", "--subtype", "--lora", "--dtype", "--overwrite"} <= shown
    assert "--batch" not in shown


@pytest.mark.parametrize("count", [1, 4])
def test_sounds_per_prompt_are_no_batch(refuse: Refuse, count: int):
    """Said before anything is loaded."""
    refuse(
        *("generate", "kick", "--model", "no such model", "--batch", count),
        code=2,
        message=f"--batch {count}: the number of sounds per prompt is now --variations {count}",
    )
