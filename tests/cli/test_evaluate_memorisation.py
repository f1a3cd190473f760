import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import numpy as np
import pytest
import soundfile

from stable_audio_open.audio_models.registry import EMBEDDERS
from stable_audio_open.data.manifest import Recording, read_manifest, write_manifest
from tests.needs import needs_musicnn

pytestmark = pytest.mark.numerical

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three sounds, the last of them again under another name."""
    folder, rng = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    for name in ("kick", "snare", "bell"):
        decay = np.exp(-np.arange(8000)[:, None] / 2000)
        soundfile.write(folder / f"{name}.wav", 0.5 * decay * rng.standard_normal((8000, 2)), 16000)
    (folder / "copy.wav").write_bytes((folder / "bell.wav").read_bytes())
    names = ("kick", "snare", "bell", "copy")
    lines = [Recording(file=f"{n}.wav", caption=f"deep {n}", tags=(n, "deep")) for n in names]
    write_manifest(folder / "manifest.jsonl", lines)
    return folder


@pytest.mark.slow
def test_the_bundled_model(run: Run, data: Path) -> None:
    command = ("evaluate", "memorisation", "tiny", "--data", data, "--output", "out", "--random", 2,
               "--steps", 2, "--device", "cpu", "--embedder", "log-mel", "--guidance-scale", 3,
               "--reconstructions")  # fmt: skip
    result = run(*command)
    assert (result.returncode, result.stderr) == (0, "")
    assert "4 recordings, 2 of them repeated in 1 groups; log-mel" in result.stdout
    assert "silent" not in result.stdout
    assert "out/memorisation-log-mel.html: listen to the candidates" in result.stdout
    written = Path("out/memorisation-log-mel.json").read_bytes()
    found = json.loads(written)
    assert found["generation"]["model"] == "tiny"
    assert found["generation"]["guidance"] == 3
    assert found["settings"]["chunk"] == pytest.approx(2.972, abs=1e-3)
    assert found["repeated"] == [["bell.wav", "copy.wav"]]
    assert [section["sounds"] for section in found["sections"]] == [2, 2, 2]
    assert len(list(Path("out/reconstructions").iterdir())) == 2
    lines = Path("out/generations/generations.jsonl").read_text().splitlines()
    sounds = [json.loads(line) for line in lines]
    for sound in sounds:
        assert (
            soundfile.info(f"out/generations/{sound['file']}").duration == sound["seconds"] == 0.5
        )
    # A second run makes nothing anew and says the same.
    before = {path: path.stat().st_mtime_ns for path in Path("out/generations").glob("*.flac")}
    assert run(*command).stdout == result.stdout
    assert Path("out/memorisation-log-mel.json").read_bytes() == written
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_silence_and_damage_are_named(run: Run, data: Path, tiny_model_folder: Path) -> None:
    silence = np.zeros((16000, 2))
    soundfile.write(data / "silent.wav", silence, 16000)
    (data / "damaged.wav").touch()
    samples, rate = soundfile.read(data / "kick.wav")
    soundfile.write(data / "kick.wav", np.concatenate([samples, silence]), rate)
    lines = [*read_manifest(data)]
    lines += [Recording(file=f"{name}.wav", caption=name) for name in ("silent", "damaged")]
    write_manifest(data / "manifest.jsonl", lines)
    result = run("evaluate", "memorisation", tiny_model_folder, "--data", data, "--output", "out",
                 "--embedder", "log-mel", "--steps", 1, "--random", 1, "--chunk", 0.5)  # fmt: skip
    assert result.returncode == 0
    assert "4 recordings, 2 of them repeated in 1 groups; " in result.stdout
    assert (
        "training: 4 of 8 chunks are silent, left out; 1 recordings from start to end, "
        "'silent.wav' first\ntraining: 1 recordings cannot be read, 'damaged.wav' first\n"
    ) in result.stdout


@pytest.mark.slow
@needs_musicnn
def test_embedders_of_one_kind_have_results_of_their_own(
    run: Run, data: Path, tiny_model_folder: Path
) -> None:
    names = set()
    for embedder in ("musicnn", "musicnn:MSD_musicnn"):
        result = run("evaluate", "memorisation", tiny_model_folder, "--data", data, "--output",
                     "out", "--steps", 1, "--random", 1, "--embedder", embedder)  # fmt: skip
        assert (result.returncode, result.stderr) == (0, "")
        names.add(Path(result.stdout.splitlines()[-1].partition(".html: ")[0]).name)
    found = {path.stem: json.loads(path.read_bytes()) for path in Path("out").glob("*.json")}
    assert found.keys() == names == {path.stem for path in Path("out").glob("*.html")}
    first, second = (found[name] for name in sorted(found))
    assert sorted(found) == [
        "memorisation-musicnn",
        f"memorisation-musicnn-MSD_musicnn-{second['checkpoint_hash'][:8]}",
    ]
    assert first["checkpoint_hash"] != second["checkpoint_hash"]
    assert first["sample_rate"] == second["sample_rate"] == 16000


@pytest.mark.slow
def test_a_training_set_in_a_tar_is_studied_as_its_files(
    run: Run, data: Path, tmp_path: Path, tiny_model_folder: Path
) -> None:
    lines = [
        msgspec.structs.replace(line, file=f"set.tar/{line.file}") for line in read_manifest(data)
    ]
    files, inside = tmp_path / "files", tmp_path / "inside"
    shutil.copytree(data, files / "set.tar")
    inside.mkdir()
    with tarfile.open(inside / "set.tar", "w") as tar:
        for path in sorted(data.glob("*.wav")):
            tar.add(path, path.name)
    studied = []
    for folder in (files, inside):
        write_manifest(folder / "manifest.jsonl", lines)
        result = run("evaluate", "memorisation", tiny_model_folder, "--data", folder, "--output",
                     f"{folder}_out", "--embedder", "log-mel", "--steps", 1, "--random", 1,
                     "--reconstructions")  # fmt: skip
        assert (result.returncode, result.stderr) == (0, "")
        found = json.loads(Path(f"{folder}_out", "memorisation-log-mel.json").read_text())
        studied.append((found["repeated"], found["sections"]))
    assert studied[0] == studied[1]


@pytest.mark.slow
def test_prompts_of_metadata(run: Run, data: Path, tiny_model_folder: Path) -> None:
    result = run("evaluate", "memorisation", tiny_model_folder, "--data", data, "--output", "out",
                 "--embedder", "log-mel", "--steps", 1, "--prompts", "metadata", "--random", 4,
                 "--per-prompt", 3)  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = Path("out/generations/generations.jsonl").read_text().splitlines()
    prompts = {json.loads(line)["prompt"] for line in lines}
    assert len(lines) == 12
    assert len(prompts) > 4
    assert {word.strip(",").lower() for p in prompts for word in p.split()} == {
        *("kick", "snare", "bell", "copy", "deep"),
    }


@pytest.mark.slow
def test_adapters(
    run: Run, data: Path, tiny_model_folder: Path, save_random_adapter: Callable[..., None]
) -> None:
    save_random_adapter(Path("adapter"))
    command = ("evaluate", "memorisation", tiny_model_folder, "--data", data, "--output", "out",
               "--embedder", "log-mel", "--steps", 1, "--random", 1)  # fmt: skip
    result = run(*command, "--lora", "adapter:0.5")
    assert (result.returncode, result.stderr) == (0, "")
    generation = json.loads(Path("out/memorisation-log-mel.json").read_text())["generation"]
    assert generation["lora"] == ["adapter:0.5"]
    title = f"Memorisation of {tiny_model_folder} + adapter:0.5"
    assert f"<h1>{title}</h1>" in Path("out/memorisation-log-mel.html").read_text()
    refused = run(*command, "--lora", "adapter")
    assert (refused.returncode, refused.stderr) == (2, (
        "stable-audio-open: out/generations: was begun with lora ('adapter:0.5',), got "
        "('adapter:1',); choose another output folder, or give the same\n"
    ))  # fmt: skip
    save_random_adapter(Path("adapter"), seed=1)
    other = run(*command, "--lora", "adapter:0.5")
    assert other.returncode == 2
    assert f"was begun with weights {generation['weights']!r}, got '" in other.stderr


@pytest.mark.usefixtures("run")
def test_mistakes(refuse: Refuse, run: Run, data: Path, tiny_model_folder: Path) -> None:
    command = ("evaluate", "memorisation", tiny_model_folder, "--data", data, "--output", "out",
               "--steps", 1, "--random", 1)  # fmt: skip
    refuse(
        *command, "--embedder", "x", code=2,
        message=f"no embedder 'x'; allowed: {EMBEDDERS.allowed}",
    )  # fmt: skip
    refuse(
        *command, "--embedder", "log-mel", "--threshold", 2, code=2,
        message="threshold must lie within 0..1, above 0, got 2.0; it is a cosine",
    )  # fmt: skip
    refuse(
        *command, "--embedder", "log-mel", "--given", "nowhere", code=2,
        message="nowhere: no such folder; give one with sounds of the model",
    )  # fmt: skip
    assert run(*command, "--embedder", "log-mel").returncode == 0
    refuse(
        *command, "--embedder", "log-mel", "--seed", 1, code=2,
        message="out/generations: was begun with seed 0, got 1; choose another output folder, or "
        "give the same",
    )  # fmt: skip
