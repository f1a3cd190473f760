import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import soundfile
import torch

from stable_audio_open.audio.writing.tags import read_tags

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def request_words(tiny_model_folder: Path) -> list[object]:
    """A request that works and is quick."""
    return ["generate", "deep kick", "--model", tiny_model_folder, "--steps", 2]


def test_file_seed_end_and_speed_are_printed(run: Run, request_words: list[object]):
    result = run(*request_words, "--duration", 0.5, "--seed", 7, "--output", "kick.wav")
    assert (result.returncode, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert re.fullmatch(r'kick\.wav: 0\.50 s, sound ends at 0\.\d\d s, seed 7, "deep kick"', first)
    assert re.fullmatch(
        r"model loaded in [\d.]+ s; 0\.50 s of sound in [\d.]+ s \([\d.]+ times real time\)", second
    )
    info = soundfile.info("kick.wav")
    assert (info.frames, info.samplerate, info.channels) == (8000, 16000, 2)
    assert info.subtype == "PCM_24"


def test_same_seed_same_file(run: Run, request_words: list[object]):
    for name in ("a.flac", "b.flac"):
        run(*request_words, "--seed", 7, "--output", name)
    assert Path("a.flac").read_bytes() == Path("b.flac").read_bytes()


def test_seed_is_drawn_and_printed_when_not_given(run: Run, request_words: list[object]):
    printed = run(*request_words, "--output", "a.flac").stdout
    seed = re.search(r"seed (\d+)", printed)
    assert seed is not None
    run(*request_words, "--output", "b.flac", "--seed", seed[1])
    assert Path("a.flac").read_bytes() == Path("b.flac").read_bytes()


@pytest.mark.parametrize("exists", [True, False])
def test_prompts_and_variations_fill_a_folder(run: Run, request_words: list[object], exists: bool):
    if exists:
        Path("sounds").mkdir()
    result = run(*request_words, "Soft Bell!", "--variations", 2, "--seed", 5, "--output", "sounds")
    assert result.returncode == 0
    names = ["deep-kick_5.wav", "deep-kick_6.wav", "soft-bell_7.wav", "soft-bell_8.wav"]
    assert sorted(path.name for path in Path("sounds").iterdir()) == names
    assert [line.split(":")[0] for line in result.stdout.splitlines()[:4]] == [
        f"sounds/{name}" for name in names
    ]


def test_default_output_is_the_current_folder(run: Run, request_words: list[object]):
    run(*request_words, "--seed", 5)
    assert [path.name for path in Path().iterdir()] == ["deep-kick_5.wav"]


@pytest.mark.slow
def test_options_reach_the_sampler(run: Run, request_words: list[object]):
    """Every option changes the sound."""
    contents = set()
    options = [
        "", "--guidance-scale 1", "--guidance-scale 3 --guidance-rescale 0.5",
        "--guidance-interval 1 500", "--negative-prompt bell", "--sampler euler",
        "--schedule karras --steps 3", "--sigma-max 20", "--sigma-min 0.1", "--window 0.5",
        "--seconds-start 3", "--dtype bfloat16", "--steps 3", "--seed 8", "--duration 0.7",
    ]  # fmt: skip
    for option in options:
        result = run(
            *(*request_words, "--seed", 7, *option.split()),
            *("--output", "x.wav", "--overwrite", "--no-tags"),
        )
        assert result.returncode == 0, result.stderr
        contents.add(Path("x.wav").read_bytes())
    assert len(contents) == len(options)


def test_no_trim_keeps_the_window(run: Run, request_words: list[object]):
    run(*request_words, "--duration", 0.5, "--no-trim", "--output", "x.wav", "--subtype", "float")
    info = soundfile.info("x.wav")
    assert (info.frames, info.subtype) == (16000, "FLOAT")


def test_threads(run: Run, request_words: list[object]):
    before = torch.get_num_threads()
    try:
        assert run(*request_words, "--threads", 1).returncode == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["good.wav", "mono_8k.wav", "silent.wav"])
def test_init_audio(run: Run, request_words: list[object], recordings: Path, name: str):
    result = run(*request_words, "--init-audio", name, "--output", "x.wav")
    assert (result.returncode, result.stderr) == (0, "")
    assert soundfile.info("x.wav").frames == 16000


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_init_audio_is_never_replaced(
    run: Run, refuse: Refuse, request_words: list[object], recordings: Path, flags: list[str]
):
    words = [*request_words, "--init-audio", "good.wav", *flags]
    refuse(
        *(*words, "--output", "good.wav"),
        code=2,
        message="good.wav: is the recording itself; choose another output",
    )
    before = Path("good.wav").read_bytes()
    assert run(*words, "--name", "good").returncode == 0
    assert Path("good.wav").read_bytes() == before
    assert Path("good_2.wav").is_file()


def test_weak_init_strength_stays_near_the_recording(
    run: Run, request_words: list[object], recordings: Path
):
    """With hardly any noise and no guidance, what is left is the autoencoder."""
    run("reconstruct", "good.wav", *request_words[2:4], "--output", "through.wav")
    run(*request_words, "--guidance-scale", 1, "--init-audio", "good.wav", "--init-strength", 0.01,
        "--sigma-min", 1e-4, "--sigma-max", 2e-4, "--output", "near.wav")  # fmt: skip
    near, _ = soundfile.read("near.wav")
    through, _ = soundfile.read("through.wav")
    assert ((near - through) ** 2).mean() < 1e-4 * (through**2).mean()


def test_damaged_init_audio(refuse: Refuse, request_words: list[object], damaged: tuple[str, str]):
    name, message = damaged
    refuse(*request_words, "--init-audio", name, "--output", "x.wav", code=1, message=message)


DURATION = "duration must be above 0 and at most 3600 seconds, got"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--duration 0", f"{DURATION} 0.0"),
        ("--duration -1", f"{DURATION} -1.0"),
        ("--duration 4000", f"{DURATION} 4000.0"),
        ("--duration nan", f"{DURATION} nan"),
        ("--window 2", "window must be above 0 and at most the model's 1.00 seconds, got 2.0"),
        ("--steps 0", "steps must be at least 1, got 0"),
        ("--guidance-scale nan", "guidance scale must be a finite number, got nan"),
        ("--guidance-rescale 2", "guidance rescale must be between 0 and 1, got 2.0"),
        (
            "--guidance-interval 5 1",
            "guidance interval must be (low, high) in sigma with 0 <= low <= high, got (5.0, 1.0)",
        ),
        (
            "--sampler dpmp-2m",
            'unknown sampler "dpmp-2m"; did you mean "dpmpp-2m"? Allowed: dpmpp-2m, dpmpp-2m-sde, '
            "dpmpp-3m-sde, euler, heun, rk4, ddim, ping-pong, or k-diffusion:NAME with the "
            "k-diffusion extra",
        ),
        (
            "--schedule cosine",
            "unknown schedule 'cosine'; choose from ['polyexponential', 'karras', 'log-snr', "
            "'linear']",
        ),
        (
            "--sigma-min 600",
            "sigma_min and sigma_max must satisfy 0 < sigma_min < sigma_max, got 600.0 and 500.0",
        ),
        ("--seed -1", "seed must be between 0 and 4294967295, got -1"),
        ("--seconds-start -1", "seconds_start must be at least 0, got -1.0"),
        ("--negative-prompt=", "negative_prompt is empty; describe the sound in a few words"),
        (
            "--init-audio good.wav --init-strength -1",
            "init_strength must be between 0 and 1, got -1.0",
        ),
        ("--device tpu", "unknown device 'tpu'; choose from auto, cpu, cuda, mps"),
        (
            "--dtype float99",
            "unknown dtype 'float99'; choose from float32, float16, bfloat16, float64",
        ),
        (
            "--output x.aiff",
            "x.aiff: unknown audio suffix '.aiff'; use one of .wav, .flac, .ogg, .mp3",
        ),
        (
            "--output x.mp3 --subtype float",
            "x.mp3: .mp3 files cannot hold float samples; use .wav or subtype='pcm24'",
        ),
        (
            "--variations 2",
            "sound.wav: 2 sounds do not fit into one file; give a folder (a name without .wav)",
        ),
    ],
)
def test_wrong_request(
    refuse: Refuse, request_words: list[object], recordings: Path, options: str, message: str
):
    refuse(*request_words, "--output", "sound.wav", *options.split(), code=2, message=message)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "prompt is empty; describe the sound in a few words"),
        (" \n", "prompt is empty; describe the sound in a few words"),
        (
            "x" * 10000,
            "prompt has 10000 characters, at most 2000 are allowed; describe the sound more "
            "briefly",
        ),
    ],
)
def test_wrong_prompt(refuse: Refuse, tiny_model_folder: Path, prompt: str, message: str):
    refuse("generate", prompt, "--model", tiny_model_folder, code=2, message=message)


def test_unknown_model(run: Run):
    result = run("generate", "kick", "--model", "tinny")
    assert result.returncode == 2
    assert result.stderr.startswith("stable-audio-open: no model 'tinny'")
    assert result.stderr.count("\n") == 1


def test_autoencoder_alone(run: Run, tiny_autoencoder_folder: Path):
    result = run("generate", "kick", "--model", tiny_autoencoder_folder)
    assert result.returncode == 2
    assert "is an autoencoder alone" in result.stderr
    assert result.stderr.count("\n") == 1


def test_checkpoint_of_another_size(run: Run, tiny_model_folder: Path, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["transformer"]["depth"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    result = run("generate", "kick", "--model", folder, "--output", "x.wav")
    assert result.returncode == 1
    assert re.fullmatch(
        r"WARNING: .*\(\$\.transformer\.depth: found 2 there and found 1 here\).*\n"
        r"stable-audio-open: .*does not fit its configuration: \d+ unexpected: "
        r"transformer\.blocks\.1\..* more; .*\n",
        result.stderr,
    )
    assert not Path("x.wav").exists()


def test_folder_that_is_not_there(refuse: Refuse, request_words: list[object], recordings: Path):
    for output, missing in (("a/x.wav", "a"), ("good.wav/x.flac", "good.wav"), ("a/b", "a")):
        refuse(
            *request_words,
            "--output",
            output,
            code=1,
            message=f"{output}: the folder {missing} does not exist; create it or choose another "
            "one",
        )


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
@pytest.mark.parametrize("name", ["x.wav", "sounds"])
def test_folder_that_cannot_be_written(run: Run, request_words: list[object], name: str):
    result = run(*request_words, "--output", f"/proc/{name}")
    assert result.returncode == 1
    assert re.fullmatch(
        r"stable-audio-open: /proc: nothing can be written there \(.*\); choose another folder\n",
        result.stderr,
    )


def test_output_is_checked_before_the_model_is_loaded(refuse: Refuse):
    refuse(
        *("generate", "kick", "--model", "no such model", "--output", "x.aiff"),
        code=2,
        message="x.aiff: unknown audio suffix '.aiff'; use one of .wav, .flac, .ogg, .mp3",
    )


def test_disk_full(
    refuse: Refuse,
    request_words: list[object],
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refuse(
        *(*request_words, "--output", "good.wav", "--overwrite"),
        code=1,
        message="good.wav: could not be saved: No space left on device; free some space or choose "
        "another folder (an earlier file of this name is untouched)",
    )


def test_a_flow_has_its_defaults_and_its_conditions(run: Run, flow_folder: Path):
    words = ["generate", "deep kick", "--model", flow_folder, "--seed", 3, "--duration", 0.5]
    for name, bpm in (("a.flac", 120), ("b.flac", 120), ("c.flac", 200)):
        result = run(*words, "--condition", f"bpm={bpm}", "--output", name)
        assert result.returncode == 0, result.stderr
    assert Path("a.flac").read_bytes() == Path("b.flac").read_bytes()
    assert Path("a.flac").read_bytes() != Path("c.flac").read_bytes()
    said = [
        "--steps",
        "8",
        "--sampler",
        "ping-pong",
        "--schedule",
        "log-snr",
        "--guidance-scale",
        "1",
    ]
    run(*words, "--condition", "bpm=120", *said, "--output", "d.flac")
    assert Path("a.flac").read_bytes() == Path("d.flac").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--condition bpm", "--condition bpm: give a name and a number, such as bpm=120"),
        ("--condition bpm=fast", "--condition bpm=fast: give a name and a number, such as bpm=120"),
        ("--condition bpm=1 --condition bpm=2", "--condition bpm=2: bpm is given twice"),
        ("--steps 1", 'the model is conditioned on bpm; give conditions={"bpm": ...}'),
        (
            "--condition bmp=120",
            'conditions give "bmp", on which the model is not conditioned; it takes bpm; did you '
            'mean "bpm"?',
        ),
    ],
)
def test_wrong_conditions(refuse: Refuse, flow_folder: Path, options: str, message: str):
    words = ["generate", "kick", "--model", flow_folder, "--output", "kick.wav"]
    refuse(*words, *options.split(), code=2, message=message)


def test_an_existing_file_is_refused_before_the_model_is_loaded(refuse: Refuse, run: Run):
    Path("x.wav").write_bytes(b"mine")
    refuse(
        *("generate", "kick", "--model", "no such model", "--output", "x.wav"),
        code=2,
        message="x.wav: exists; give another name, or --overwrite to have it replaced",
    )


def test_an_existing_file_is_replaced_on_request(run: Run, request_words: list[object]):
    Path("x.wav").write_bytes(b"mine")
    assert run(*request_words, "--output", "x.wav", "--overwrite").returncode == 0
    assert soundfile.info("x.wav").frames == 16000


def test_in_folders_a_number_is_appended(run: Run, request_words: list[object]):
    for _ in range(2):
        run(*request_words, "--seed", 5, "--output", "sounds")
    assert sorted(path.name for path in Path("sounds").iterdir()) == [
        "deep-kick_5.wav",
        "deep-kick_5_2.wav",
    ]
    run(*request_words, "--seed", 5, "--output", "sounds", "--overwrite")
    assert len(list(Path("sounds").iterdir())) == 2


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_sounds_of_a_run_never_replace_each_other(
    run: Run, request_words: list[object], overwrite: list[str]
):
    """Names are the same by the pattern, or by what is left of a prompt."""
    words = [*request_words[:2], *request_words[2:], "--duration", 0.1, "--seed", 5]
    words = ["generate", "x" * 70, "x" * 60 + "y", "X" * 60 + "?", *words[2:]]
    for _ in range(2):
        result = run(*words, "--name", "{prompt}", "--output", "sounds", *overwrite)
        assert result.returncode == 0
    names = [f"{'x' * 60}{end}.wav" for end in ("", *(f"_{n}" for n in range(2, 7)))]
    found = sorted(Path("sounds").iterdir(), key=lambda path: (len(path.name), path.name))
    assert [path.name for path in found] == names[: 3 if overwrite else 6]
    printed = [line.split(":")[0] for line in result.stdout.splitlines()[:3]]
    assert printed == [f"sounds/{name}" for name in (names[:3] if overwrite else names[3:])]
    assert len({path.read_bytes() for path in found}) == 3
    seeds = {read_tags(path)["seed"] for path in found}
    assert seeds == {5, 6, 7}


def test_files_of_others_beside_a_sound_are_told_before_the_work(
    run: Run, refuse: Refuse, request_words: list[object]
):
    """In a folder, another name is taken."""
    Path("x.wav.json").write_text("{}")
    refuse(
        *("generate", "kick", "--model", "no such model", "--output", "x.wav"),
        code=2,
        message="x.wav.json: stands where tags of x.wav go that are too long for the file itself, "
        "and holds none of stable-audio-open; move it, or save without tags",
    )
    assert run(*request_words, "--output", "x.wav", "--no-tags").returncode == 0
    Path("sounds/x.wav").mkdir(parents=True)
    Path("sounds/x_2.wav.json").write_text("{}")
    for flags, name in (([], "x_3.wav"), (["--overwrite"], "x_3.wav")):
        result = run(*request_words, "--output", "sounds", "--name", "x", *flags)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(f"sounds/{name}: ")


def test_files_are_named_by_a_pattern(run: Run, request_words: list[object]):
    pattern = "{index:03d}_{prompt:.4}_{seed}.flac"
    run(*request_words, "Bell", "--seed", 5, "--output", "sounds", "--name", pattern)
    assert sorted(path.name for path in Path("sounds").iterdir()) == [
        "000_deep_5.flac",
        "001_bell_6.flac",
    ]


def test_a_wrong_pattern_is_refused_before_the_model_is_loaded(refuse: Refuse):
    refuse(
        *("generate", "kick", "--model", "no such model", "--name", "../{prompt}"),
        code=2,
        message="name '../{prompt}': holds '/'; give the name of a file, and its folder as "
        "--output",
    )


def test_steps_before_the_file(run: Run, request_words: list[object]):
    result = run(
        *(*request_words, "--seed", 5, "--output", "x.wav", "--subtype", "pcm16"),
        *("--sample-rate", 48000, "--channels", 1, "--peak", -6),
    )
    assert (result.returncode, result.stderr) == (0, "")
    info = soundfile.info("x.wav")
    assert (info.frames, info.samplerate, info.channels) == (48000, 48000, 1)
    assert info.subtype == "PCM_16"
    assert abs(soundfile.read("x.wav")[0]).max() == pytest.approx(10 ** (-6 / 20), abs=1e-3)


@pytest.mark.slow
def test_the_end_is_faded_where_it_is_cut(run: Run, request_words: list[object]):
    words = [*request_words, "--duration", 0.5, "--seed", 5, "--subtype", "float"]
    run(*words, "--output", "faded.wav")
    run(*words, "--output", "cut.wav", "--fade", 0)
    faded, cut = (torch.from_numpy(soundfile.read(f"{n}.wav")[0]) for n in ("faded", "cut"))
    assert torch.equal(faded[:-80], cut[:-80])
    assert not torch.equal(faded[-80:], cut[-80:])
    assert faded[-1].abs().max() < 1e-6 < cut[-1].abs().max()


def test_two_levels_are_refused(refuse: Refuse):
    refuse(
        *("generate", "kick", "--model", "no such model", "--loudness", -16, "--peak", -1),
        code=2,
        message="loudness -16 and peak -1 are two levels for one sound; give one of them",
    )
