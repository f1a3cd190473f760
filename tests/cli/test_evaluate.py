import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

from tests.needs import needs_musicnn

Run = Callable[..., CompletedProcess[str]]
RATE = 16000


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Eight recordings, the same with noise, and as many silent ones; also the current folder."""
    generator = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    for index in range(8):
        tone = 0.2 * np.sin(2 * np.pi * 110 * 2 ** (index / 3) * time) * np.exp(-time * index)
        stereo = np.stack([tone, 0.5 * tone], axis=1)
        noise = 0.1 * generator.standard_normal(stereo.shape)
        for name, audio in (("clean", stereo), ("noisy", stereo + noise), ("silent", 0 * stereo)):
            (tmp_path / name).mkdir(exist_ok=True)
            soundfile.write(tmp_path / name / f"{index}.wav", audio, RATE, subtype="FLOAT")
    return tmp_path


@pytest.mark.slow
@needs_musicnn
def test_frechet_prints_and_writes_its_result(run: Run, sets: Path) -> None:
    arguments = ("evaluate", "frechet", "noisy", "clean", "--embedder", "musicnn")
    result = run(*arguments, "--points", 0, "--cache", "clean.safetensors", "-o", "fd.json")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Frechet distance ")
    assert lines[0].endswith("(8 files, 8 windows; reference 8 files, 8 windows)")
    assert lines[2].startswith("caution: 8 windows, 8 of the reference, are few for vectors of ")
    assert lines[-1].startswith("checkpoint: musicnn MTT_musicnn sha256:")
    written = json.loads((sets / "fd.json").read_text())
    assert written["distance"] > 0
    assert sorted(written["contributions"]) == [str(index) for index in range(8)]
    made = (sets / "clean.safetensors").stat().st_mtime_ns
    again = run(*arguments, "--points", 0, "--cache", "clean.safetensors")
    assert again.stdout.splitlines()[:2] == lines[:2]
    assert (sets / "clean.safetensors").stat().st_mtime_ns == made
    shutil.rmtree(sets / "clean")
    again = run("evaluate", "frechet", "noisy", "clean.safetensors", *arguments[4:], "--points", 0)
    assert again.stdout.splitlines()[:2] == lines[:2]


@pytest.mark.slow
@needs_musicnn
def test_kl_of_a_set_with_itself_is_slightly_below_0(run: Run, sets: Path) -> None:
    result = run("evaluate", "kl", "clean", "clean", "--tagger", "musicnn")
    value = float(result.stdout.split()[2])
    assert -50e-6 <= value < 0
    assert "definition: KL(generated || reference), 1e-06 added to the reference" in result.stdout
    plain = run("evaluate", "kl", "clean", "clean", "--tagger", "musicnn", "--epsilon", 0)
    assert plain.stdout.startswith("KL divergence 0.000000 (8 files, 50 classes)")


@pytest.mark.slow
@needs_musicnn
def test_silent_sets_are_warned_of_and_fail_where_that_is_asked(run: Run, sets: Path) -> None:
    result = run("evaluate", "kl", "silent", "clean", "--tagger", "musicnn")
    assert "warning: 8 of 8 recordings are silent, '0' first" in result.stdout
    result = run("evaluate", "sanity", "silent")
    assert result.returncode == 0
    assert "fault: 8 of 8 recordings are silent ('0' first)" in result.stdout
    strict = run("evaluate", "sanity", "silent", "--strict")
    assert strict.returncode == 2
    assert strict.stderr == (
        "stable-audio-open: silent: 8 of 8 recordings are silent ('0' first)\n"
    )
    assert run("evaluate", "sanity", "clean", "--strict").returncode == 0


def test_reconstruction_of_two_folders(run: Run, sets: Path) -> None:
    result = run("evaluate", "reconstruction", "noisy", "clean", "-o", "result.json")
    assert result.stdout.splitlines()[0].split() == ["STFT", "MEL", "multi-res.", "SI-SDR", "dB"]
    assert result.stdout.splitlines()[3] == "8 files"
    assert "silent channel" not in result.stdout.replace("silent channels of an original", "")
    written = json.loads((sets / "result.json").read_text())
    assert written["mean"]["stft"] > 0.1
    assert written["checkpoint"] is None

    samples, rate = soundfile.read(sets / "clean" / "3.wav")
    soundfile.write(sets / "clean" / "3.wav", samples * [0, 1], rate, subtype="FLOAT")
    result = run("evaluate", "reconstruction", "noisy", "clean")
    assert (
        "warning: 1 originals have a silent channel, '3' first, which SI-SDR leaves out"
    ) in result.stdout.splitlines()


def test_reconstruction_through_a_model(
    run: Run, sets: Path, tiny_autoencoder_folder: Path
) -> None:
    shutil.copy(sets / "silent" / "0.wav", sets / "clean" / "silence.wav")
    result = run(
        "evaluate", "reconstruction", tiny_autoencoder_folder, "clean", "--device", "cpu",
        "-o", "result.json",
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    assert "8 files, 1 silent originals left out" in result.stdout
    written = json.loads((sets / "result.json").read_text())
    assert written["checkpoint"] == str(tiny_autoencoder_folder)
    assert len(written["checkpoint_hash"]) == 16
    assert (written["sample_rate"], written["channels"]) == (RATE, 2)
    assert written["silent_originals"] == ["silence"]


@needs_musicnn
def test_clap_needs_a_text_side(run: Run, sets: Path) -> None:
    (sets / "prompts.csv").write_text("id,prompt\n0,a tone\n")
    result = run("evaluate", "clap", "clean", "--prompts", "prompts.csv", "--embedder", "musicnn")
    assert result.returncode == 2
    assert result.stderr == (
        "stable-audio-open: musicnn: has no text side; use clap:FOLDER or clap:FILE.pt\n"
    )


@pytest.mark.slow
@needs_musicnn
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("frechet", "clean", "gone", "--embedder", "musicnn"), 2,
         "gone: no such folder; check the path"),
        (("frechet", "clean", "clean", "--embedder", "musicnn", "--points", "15"), 2,
         "15 subsets of 8 windows make no line; give at least 3 points, and 4 windows for each "
         "(or 0 points for no extrapolation)"),
        (("frechet", "clean", "clean", "--embedder", "musicnn", "--cache", "clean.npz"), 2,
         "clean.npz: a cache of statistics must end in .safetensors"),
        (("kl", "clean", "clean", "--tagger", "musicnn", "-o", "gone/kl.json"), 2,
         "gone/kl.json: the folder gone does not exist; create it or choose another one"),
        (("kl", "clean", "clean", "--tagger", "musicnn", "-o", "clean"), 2,
         "clean: is a folder; name a file for the result, such as result.json"),
        (("clap", "clean", "--prompts", "gone.csv", "--embedder", "musicnn"), 1,
         "gone.csv: No such file or directory"),
        (("sanity", "gone"), 2, "gone: no such folder; check the path"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_and_leaves_nothing(
    refuse: Callable[..., None], sets: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    refuse("evaluate", *arguments, code=code, message=message)


def test_the_place_of_a_cache_is_checked_before_the_embedder_is_loaded(
    refuse: Callable[..., None], sets: Path
) -> None:
    asked = ("evaluate", "frechet", "noisy", "clean", "--embedder")
    (sets / "file").write_text("x")
    for folder in ("gone", "file"):
        refuse(
            *(*asked, "panns:gone.pth", "--cache", f"{folder}/c.safetensors"), code=2,
            message=f"{folder}/c.safetensors: the folder {folder} does not exist; create it or "
            "choose another one",
        )  # fmt: skip


def test_missing_ids_fail_unless_allowed(run: Run, sets: Path) -> None:
    (sets / "noisy" / "3.wav").unlink()
    result = run("evaluate", "reconstruction", "noisy", "clean")
    assert result.returncode == 2
    assert result.stderr == (
        "stable-audio-open: noisy: lacks '3' of clean; add them, or pass --allow-missing\n"
    )
    allowed = run("evaluate", "reconstruction", "noisy", "clean", "--allow-missing")
    assert allowed.returncode == 0
    assert "missing: 1 ids, '3' first" in allowed.stdout
