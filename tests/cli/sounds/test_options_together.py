"""Options that do not go together are refused before the model is loaded."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]

NO_END = "a loop has no end: leave out fade and trim_silence"
APG = (
    "guidance_rescale 0.5 acts on the velocity and guidance_parallel, guidance_norm and "
    "guidance_momentum on x0; give one of them"
)
LEVELS = "loudness -16 and peak -1 are two levels for one sound; give one of them"
SCALES = (
    "--guidance-scale 7 is the scale everywhere, and --guidance-at gives it by noise level; give "
    "one of them"
)
GENERATE = {
    "--loop --fade 0.1": NO_END,
    "--loop --trim-silence": NO_END,
    "--loop --guidance-momentum 0.5": "the windows of a loop move from step to step, which "
    "guidance_momentum 0.5 cannot follow; leave it at 0",
    "--loop --init-audio good.wav": "a loop is made from text alone, got init_audio too; leave it "
    "out",
    "--loop --no-trim": "a loop has nothing behind its end to keep; leave trim as it is",
    "--loop --bars 1 --bpm 120 --duration 2": "duration 2 and bars 1 are two lengths of one sound; "
    "give one of them",
    "--loop --bars 1 --bpm 120 --prompt-at 3:storm": "a prompt begins at 3 seconds, and the sound "
    "ends at 2; give an earlier time or a longer duration",
    "--init-strength 0.5": "init_strength 0.5 says how much is left of init_audio, which is "
    "missing",
    "--init-noise-level 3": "init_noise_level 3.0 says how much is left of init_audio, which is "
    "missing",
    "--init-audio good.wav --init-strength 0.5 --init-noise-level 3": "init_strength 0.5 and "
    "init_noise_level 3.0 are two starts from one sound; give one of them",
    "--prompt-at 3:storm --mix 0.5:fire": "--prompt-at and --mix: a prompt that changes is of one "
    "text at a time",
    "--mix 0.5:": "prompt is empty; describe the sound in a few words",
}
SAMPLING = {
    "--guidance-rescale 0.5 --guidance-parallel 0.5": APG,
    "--guidance-rescale 0.5 --guidance-norm 1": APG,
    "--guidance-scale 7 --guidance-at 1:3": SCALES,
    "--guidance 7 --guidance-at 1:3": SCALES,
    "--guidance-at 0:3": "guidance_scale has a point at sigma 0.0; it must be above 0",
    "--guidance-rescale 2": "guidance rescale must be between 0 and 1, got 2.0",
    "--guidance-interval 5 1": "guidance interval must be (low, high) in sigma with 0 <= low <= "
    "high, got (5.0, 1.0)",
    "--sigma-min 2 --sigma-max 1 --schedule karras": "sigma_min and sigma_max must satisfy 0 < "
    "sigma_min < sigma_max, got 2.0 and 1.0",
    "--negative-prompt hum --negative-prompt=": "negative_prompt is empty; describe the sound in a "
    "few words",
    "--seed -1": "seed must be between 0 and 4294967295, got -1",
}
FILES = {
    "--loudness -16 --peak -1": LEVELS,
    "--output x.wav --name {seed}": "--name {seed} names files in a folder, and --output x.wav is "
    "a file; leave one out, or give a folder",
    "--output x.mp3 --subtype float": "x.mp3: .mp3 files cannot hold float samples; use .wav or "
    "subtype='pcm24'",
    "--output x.ogg --sample-rate 250000": "x.ogg: .ogg cannot hold 2 channels at 250000 Hz (at "
    "most 255 channels and 200000 Hz); use .wav",
}
COMMANDS = {
    "generate": ["kick"],
    "interpolate": ["kick", "bell", "--count", "2"],
    "inpaint": ["good.wav", "kick", "--span", "0.1", "0.2"],
    "extend": ["good.wav", "kick", "--seconds", "0.1"],
}
CASES = [
    *[("generate", options) for options in GENERATE],
    *[(command, options) for command in COMMANDS for options in SAMPLING],
    *[
        (command, options)
        for command in COMMANDS
        for options in FILES
        if command != "interpolate" or "--output" not in options
    ],
]


@pytest.mark.parametrize(("command", "options"), CASES)
def test_what_does_not_go_together(
    refuse: Refuse, recordings: Path, command: str, options: str
) -> None:
    message = {**GENERATE, **SAMPLING, **FILES}[options]
    refuse(
        *(command, *COMMANDS[command], "--model", "no such model", *options.split()),
        code=2,
        message=message,
    )


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("inpaint", "--edges soft", "edges must be one of mirrored, muted, generated, released, "
         "got 'soft'"),
        ("extend", "--crossfade -1", "crossfade must be at least 0 seconds, got -1.0"),
        ("inpaint", "--span 0.5 3", "span (0.5, 3) ends behind the sound, which is 1.000 s long; "
         "to make it longer, use extend"),
        ("interpolate", "--last-seed 3", "--last-seed 3 needs --seed, that of the first sound"),
        ("interpolate", "--count 1", "count must be 2 to 1000 sounds, got 1"),
        ("interpolate", "--output x.wav", "x.wav: 2 sounds do not fit into one file; give a folder "
         "(a name without .wav)"),
    ],
)  # fmt: skip
def test_what_one_command_refuses(
    refuse: Refuse, recordings: Path, command: str, options: str, message: str
) -> None:
    words = [command, *COMMANDS[command], "--model", "no such model", *options.split()]
    refuse(*words, code=2, message=message)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_rate_that_mp3_does_not_know(run: Run, recordings: Path, command: str) -> None:
    words = [command, *COMMANDS[command], "--model", "no such model", "--name", "{seed}.mp3"]
    result = run(*words, "--sample-rate", 96000)
    assert result.returncode == 2
    begin = "stable-audio-open: sound.mp3: .mp3 cannot hold 2 channels at 96000 Hz ("
    assert result.stderr.startswith(begin)
    assert result.stderr.endswith("; use .wav\n")


def test_tables_and_prompts(refuse: Refuse) -> None:
    for words in (["kick"], ["--prompt-at", "3:x"], ["--mix", "0.5:fire"]):
        message = "give prompts or --jobs t.csv, not both"
        refuse("generate", *words, "--jobs", "t.csv", "--model", "none", code=2, message=message)


def test_a_rate_that_a_file_cannot_have_is_told_before_the_work(
    run: Run, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is the model's, once that is known."""
    calls = []

    def note(*given: object, **more: object) -> None:
        calls.append((*given, more))
        raise ValueError("not so")

    monkeypatch.setattr("stable_audio_open.jobs.target.check_form", note)
    monkeypatch.delattr("stable_audio_open.pretrained.StableAudio.generate")
    words = ["generate", "kick", "--model", tiny_model_folder, "--output", "x.ogg"]
    assert run(*words).stderr == "stable-audio-open: not so\n"
    assert calls == [(Path("x.ogg"), 16000, 2, {"subtype": "pcm24"})]
