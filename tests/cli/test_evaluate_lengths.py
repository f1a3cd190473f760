"""What models of longer windows than the paper's lengths make, and slices of what is there."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import pytest
import soundfile
import torch

from stable_audio_open.audio.files import audio_info, read_audio
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.checkpoint.native import save_native
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.pretrained import StableAudio

Run = Callable[..., CompletedProcess[str]]

RATE = 2000
FAST = ("--steps", 1, "--sampler", "euler", "--device", "cpu")


@pytest.fixture
def model(
    tmp_path: Path, tiny_model_config: DiffusionModelConfig, tiny_text_encoder: TextEncoder
) -> Path:
    """A random model whose window is 48 s of stereo at 2 kHz."""
    config = msgspec.structs.replace(
        tiny_model_config, sample_rate=RATE, window_samples=48 * RATE, name="long"
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        save_native(build_model(config, text_encoder=tiny_text_encoder), config, tmp_path / "long")
    return tmp_path / "long"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "seconds", "table"),
    [
        ("audiocaps", 10, "audiocap_id,youtube_id,caption\n1,a,A deep kick drum\n"),
        ("song-describer", 47, "caption_id,track_id,caption\n1,a,A warm bass\n"),
    ],
    ids=["audiocaps", "song-describer"],
)
def test_generations_and_references_are_cut_to_the_papers_length(
    protocol: str, seconds: int, table: str, run: Run, model: Path
) -> None:
    Path("prompts.csv").write_text(table)
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn((seconds + 1) * 8000, generator=generator)
    Path("clips").mkdir()
    soundfile.write("clips/a.wav", noise.numpy(), 8000)
    asked = ("long", "--prompts", "prompts.csv", "--protocol", protocol, *FAST)
    result = run("evaluate", "generate", *asked, "--output", "made")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"made: 1 of 1 captions, {seconds}.00 s each\n"
    assert json.loads(Path("made/settings.json").read_text())["seconds"] == seconds
    info = audio_info("made/1.flac")
    assert (info.frames, info.sample_rate) == (seconds * RATE, RATE)
    # The model is told that length; it does not cut what it makes for its window.
    system = StableAudio.from_pretrained("long", device="cpu")
    prompt = table.rstrip().rpartition(",")[-1]
    wanted = system.generate(
        prompt, duration=seconds, steps=1, sampler="euler", seed=0, progress=False
    ).samples
    expected = wanted / wanted.abs().max().clamp(min=1)
    found = read_audio("made/1.flac").samples
    torch.testing.assert_close(found, expected, rtol=0, atol=2**-22)

    result = run(
        *("evaluate", "protocol", *asked, "--references", "clips"),
        *("--part", "generation", "--output", "out"),
    )
    assert result.returncode == 0, result.stderr
    assert Path("out/generations/1.flac").read_bytes() == Path("made/1.flac").read_bytes()
    cut = audio_info("out/references/a.flac")
    assert (cut.frames, cut.sample_rate) == (seconds * 8000, 8000)
    expected = read_audio("clips/a.wav").samples[..., : seconds * 8000]
    found = read_audio("out/references/a.flac").samples
    torch.testing.assert_close(found, expected, rtol=0, atol=2**-22)


def test_a_slice_of_what_is_there_is_measured_alone(
    run: Run, tmp_path: Path, tiny_autoencoder_folder: Path
) -> None:
    Path("prompts.csv").write_text(
        "caption_id,track_id,caption\n1,a,A warm bass\n2,b,A bell\n3,c,A drum\n"
    )
    generator = torch.Generator().manual_seed(0)
    Path("tracks").mkdir()
    for name in "abc":
        noise = 0.1 * torch.randn(4000, generator=generator)
        soundfile.write(f"tracks/{name}.wav", noise.numpy(), 16000)
    asked = ("evaluate", "protocol", tiny_autoencoder_folder, "--protocol", "song-describer")
    asked = (*asked, "--prompts", "prompts.csv", "--references", "tracks", "--output", "out", *FAST)
    figures = Path("out/reconstructions/results/all/reconstruction.json")

    def measured(*limit: object) -> list[str]:
        result = run(*asked, *limit)
        assert result.returncode == 0, result.stderr
        found = json.loads(figures.read_text())
        files = found["files"]
        for line, subset in zip(result.stdout.splitlines(), ("no-singing", "all"), strict=False):
            assert line == f"out/reconstructions, {subset}: {files} files; reconstruction"
        return sorted(found["per_file"])

    assert measured() == ["a", "b", "c"]
    assert measured("--limit", 2) == ["a", "b"]
