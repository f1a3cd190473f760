"""`interpolate` on the command line, and mixtures on the way of others."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

from stable_audio_open.audio.writing.tags import read_tags
from stable_audio_open.pretrained import StableAudio

Run = Callable[..., CompletedProcess[str]]


def words(model: Path, *more: object) -> list[object]:
    return ["interpolate", "tabla", *more, "--model", model, "--steps", 2, "--duration", 0.2]


@pytest.mark.slow
def test_sounds_between_two_prompts(run: Run, tiny_model_folder: Path) -> None:
    request = words(tiny_model_folder, "cow bell", "--count", 3, "--seed", 4, "--output", "way")
    result = run(*request, "--last-seed", 9, "--subtype", "float", "--fade", 0)
    assert (result.returncode, result.stderr) == (0, "")
    names = ["tabla-cow-bell_4.wav", "tabla-cow-bell_9.wav", "tabla-cow-bell_9_2.wav"]
    assert sorted(path.name for path in Path("way").iterdir()) == names
    assert re.match(r'way/\S+: 0\.20 s, .*, seed 4, "tabla"\n', result.stdout)
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    expected = model.interpolate(
        ("tabla", "cow bell"), count=3, seed=(4, 9), steps=2, duration=0.2, progress=False
    )
    for name, item in zip(names, expected, strict=True):
        assert np.array_equal(soundfile.read(f"way/{name}")[0], item.samples[0].T.numpy())
    assert read_tags(f"way/{names[1]}")["prompt"] == '[["tabla", 0.5], ["cow bell", 0.5]]'
    again = run("regenerate", f"way/{names[1]}", "--output", "again.wav").stdout
    assert "the same samples" in again


@pytest.mark.slow
def test_sounds_between_two_seeds_of_one_prompt(run: Run, tiny_model_folder: Path) -> None:
    request = words(tiny_model_folder, "--count", 2, "--seed", 4, "--last-seed", 5)
    assert run(*request, "--output", "way").returncode == 0
    alone = ["generate", "tabla", "--model", tiny_model_folder, "--steps", 2, "--duration", 0.2]
    run(*alone, "--variations", 2, "--seed", 4, "--output", "alone")
    for seed in (4, 5):
        way, sound = (
            soundfile.read(f"{folder}/tabla_{seed}.wav")[0] for folder in ("way", "alone")
        )
        np.testing.assert_allclose(way, sound, rtol=1.3e-6, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "python"),
    [
        (["--mix", "0.25:bell"], {"prompt": [("kick", 0.75), ("bell", 0.25)]}),
        (
            ["--negative-prompt", "hum", "--negative-prompt", "hiss"],
            {"negative_prompt": [("hum", 1.0), ("hiss", 1.0)]},
        ),
        (
            ["--guidance-at", "1:2", "--guidance-at", "100:5"],
            {"guidance_scale": [(1.0, 2.0), (100.0, 5.0)]},
        ),
        (["--guidance-parallel", 0, "--guidance-norm", 0.1], {"guidance_parallel": 0.0,
                                                              "guidance_norm": 0.1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["generate", "inpaint"])
def test_options_are_what_python_has(
    run: Run,
    recordings: Path,
    tiny_model_folder: Path,
    command: str,
    options: list[object],
    python: dict[str, object],
) -> None:
    given = {"prompt": "kick", "steps": 2, "seed": 3, "progress": False, **python}
    request: list[object] = ["kick", "--model", tiny_model_folder, "--steps", 2, "--seed", 3]
    if command == "inpaint":
        given |= {"audio": "good.wav", "spans": [(0.1, 0.3)]}
        request = ["good.wav", *request, "--span", 0.1, 0.3]
    result = run(command, *request, *options, "--output", "x.wav", "--subtype", "float")
    assert (result.returncode, result.stderr) == (0, "")
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    audio = getattr(model, command)(**given)
    assert np.array_equal(soundfile.read("x.wav")[0], audio.samples[0].T.numpy())
    plain = run(command, *request, "--output", "plain.wav", "--subtype", "float")
    assert plain.returncode == 0
    assert not np.array_equal(soundfile.read("x.wav")[0], soundfile.read("plain.wav")[0])
