"""Slices of the paper's protocols on the bundled model."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import soundfile
import torch

from stable_audio_open.audio.files import audio_info, read_audio
from stable_audio_open.pretrained import StableAudio
from tests.needs import needs_musicnn

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]

FAST = ("--steps", 2, "--device", "cpu")
MAKE = ("evaluate", "generate", "tiny", "--prompts", "test.csv", "--protocol", "audiocaps")


@pytest.fixture
def here(run: Run, tmp_path: Path) -> Path:
    """The current folder, with captions of both data sets and references of most clips."""
    Path("test.csv").write_text(
        "audiocap_id,youtube_id,start_time,caption\n"
        "11,aaaaaaaaaaa,0,A deep kick drum\n"
        "12,aaaaaaaaaaa,0,A man speaking\n"
        "13,-bbbbbbbbbb,30,Rain and wind\n"
        "14,ccccccccccc,20,A bright bell\n"
    )
    Path("song_describer.csv").write_text(
        "caption_id,track_id,caption,is_valid_subset,path,duration\n"
        "1,501,A warm bass,True,01/501.mp3,120\n"
        "2,501,A choir,True,01/501.mp3,120\n"
        "3,502,Rapping over drums,False,02/502.mp3,120\n"
    )
    generator = torch.Generator().manual_seed(0)
    Path("clips").mkdir()
    for name, seconds in (("aaaaaaaaaaa", 4), ("13", 1)):  # by either of the identifiers
        noise = 0.1 * torch.randn(seconds * 48000, generator=generator)
        soundfile.write(f"clips/{name}.wav", noise.numpy(), 48000)
    Path("tracks/01").mkdir(parents=True)
    soundfile.write("tracks/01/501.2min.flac", noise[:44100].numpy(), 44100)
    soundfile.write("tracks/502.wav", noise[:22050].numpy(), 44100)
    return tmp_path


def lines(path: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.slow
def test_generate_a_slice_and_go_on(run: Run, here: Path):
    result = run(*MAKE, "--output", "out", "--limit", 2, "--batch", 2, "--seed", 7, *FAST)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        "out: 2 of 4 captions, 2.97 s each\n"
        "warning: 10 s are asked for, which is more than the model's window\n"
    )
    assert "out: 2 of 2 files made" in result.stderr
    assert lines("out/manifest.jsonl") == [
        {"id": "11", "file": "11.flac", "clip": "aaaaaaaaaaa", "prompt": "A deep kick drum",
         "seed": 7},
        {"id": "12", "file": "12.flac", "clip": "aaaaaaaaaaa", "prompt": "A man speaking",
         "seed": 8},
    ]  # fmt: skip
    settings = json.loads(Path("out/settings.json").read_text())
    assert (settings["model"], settings["steps"], settings["seed"]) == ("tiny", 2, 7)
    info = audio_info("out/12.flac")
    assert (info.frames, info.sample_rate, info.channels) == (131072, 44100, 2)
    system = StableAudio.from_pretrained("tiny", device="cpu")
    wanted = system.generate(
        ["A deep kick drum", "A man speaking"], steps=2, seed=7, progress=False
    )
    found = read_audio("out/12.flac").samples
    expected = wanted.samples[1:] / wanted.samples[1:].abs().max().clamp(min=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=2**-22)

    before = Path("out/12.flac").stat().st_mtime_ns
    again = run(*MAKE, "--output", "out", "--subset", "no-speech", "--seed", 7, *FAST)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("out: 4 of 4 captions")
    assert again.stderr.count("files made") == 2  # those of 13 and 14
    assert Path("out/12.flac").stat().st_mtime_ns == before
    assert [line["seed"] for line in lines("out/manifest.jsonl")] == [7, 8, 9, 10]

    refused = run(*MAKE, "--output", "out", "--seed", 7, "--steps", 3, "--device", "cpu")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == (
        "stable-audio-open: out: its files were made with steps 2, now 3; give another folder, or "
        "the same settings"
    )


@pytest.mark.parametrize("name", ["--guidance-scale", "--guidance"])
def test_guidance_by_either_name(run: Run, here: Path, tiny_model_folder: Path, name: str):
    asked = ("--prompts", "test.csv", "--protocol", "audiocaps", "--limit", 1, *FAST)
    made = run("evaluate", "generate", tiny_model_folder, *asked, "--output", "out", name, 3)
    assert made.returncode == 0, made.stderr
    assert json.loads(Path("out/settings.json").read_text())["guidance"] == 3


def test_two_values_of_guidance_are_refused(refuse: Refuse, here: Path):
    refuse(
        *(*MAKE, "--output", "out", "--guidance-scale", 7.0, "--guidance", 3.0),
        code=2,
        message="--guidance-scale 7.0 and --guidance 3.0 are two names of one option; give "
        "--guidance-scale alone",
    )


@pytest.mark.slow
def test_adapters_are_told_and_others_are_refused(
    run: Run, here: Path, tiny_model_folder: Path, save_random_adapter: Callable[..., None]
):
    save_random_adapter(Path("adapter"))
    asked = ("--prompts", "test.csv", "--protocol", "audiocaps", "--limit", 1, *FAST)
    make = ("evaluate", "generate", tiny_model_folder, *asked, "--output", "out")
    assert run(*make, "--lora", "adapter:0.5").returncode == 0
    settings = json.loads(Path("out/settings.json").read_text())
    assert settings["lora"] == ["adapter:0.5"]
    made = read_audio("out/11.flac").samples
    assert run(*make[:-1], "plain").returncode == 0
    assert not torch.equal(read_audio("plain/11.flac").samples, made)
    weights = settings["weights"], json.loads(Path("plain/settings.json").read_text())["weights"]
    base = f"{tiny_model_folder}"

    def refused(*lora: object) -> str:
        before = Path("out/settings.json").read_bytes(), Path("out/11.flac").read_bytes()
        result = run(*make, *lora)
        assert result.returncode == 2
        assert (Path("out/settings.json").read_bytes(), Path("out/11.flac").read_bytes()) == before
        (line,) = result.stderr.splitlines()
        return line

    assert refused() == (
        f"stable-audio-open: out: its files were made with {base} + adapter:0.5, now {base} "
        f"(weights {weights[0]}, now {weights[1]}); give another folder, or the same settings"
    )
    assert f"with {base} + adapter:0.5, now {base} + adapter:0.25 (weights" in refused(
        "--lora", "adapter:0.25"
    )
    # The same under another name is the same; another one under the same name is not.
    Path("adapter").rename("moved")
    assert run(*make, "--lora", "moved:0.5").returncode == 0
    save_random_adapter(Path("adapter"), seed=1)
    assert f"its files were made with weights {weights[0]}, now" in refused("--lora", "adapter:0.5")
    assert refused("--lora", "moved:nan") == (
        "stable-audio-open: --lora moved:nan: the weight must be a finite number, such as 0.5"
    )

    asked = (*asked, "--references", "clips", "--lora", "moved:0.5")
    result = run("evaluate", "protocol", tiny_model_folder, *asked, "--output", "whole")
    assert result.returncode == 0, result.stderr
    assert Path("whole/generations/11.flac").read_bytes() == Path("out/11.flac").read_bytes()
    report = json.loads(Path("whole/report.json").read_text())
    rows = {t["number"]: [r["model"] for r in t["rows"] if r["ours"]] for t in report["tables"]}
    # The autoencoder has no part in adapters.
    assert (rows[1], rows[3]) == ([f"{base} + moved:0.5"], [base])
    page = Path("whole/report.html").read_text()
    assert f"by {base} + moved:0.5, weights {weights[0]}" in page


def run_in_two_processes(*arguments: object) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += ["2", "-m", "stable_audio_open.cli.main"]
    return subprocess.run(
        [*command, *map(str, (*arguments, *FAST, "--threads", 1))],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_processes_share_a_slice(here: Path):
    result = run_in_two_processes(*MAKE, "--output", "out", "--limit", 3)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("out: 3 of 4 captions") == 1
    assert "2 of 2 files of process 1 of 2 made" in result.stderr
    assert "1 of 1 files of process 2 of 2 made" in result.stderr
    assert [line["id"] for line in lines("out/manifest.jsonl")] == ["11", "12", "13"]


@pytest.mark.slow
def test_processes_share_a_protocol_and_one_measures(here: Path):
    asked = ("evaluate", "protocol", "tiny", "--prompts", "test.csv", "--protocol", "audiocaps")
    result = run_in_two_processes(
        *asked, "--references", "clips", "--allow-missing", "--output", "out", "--limit", 3
    )
    assert result.returncode == 0, result.stderr
    for folder in ("references", "reconstructions"):
        for number in (1, 2):
            share = f"out/{folder}: 1 of 1 files of process {number} of 2 made"
            assert result.stderr.count(share) == 1
    assert result.stdout.count("out/generations, all: 3 files; nothing measured") == 1
    assert result.stdout.count("out/reconstructions, all: 2 files; reconstruction") == 1
    assert result.stdout.count("out/report.md") == 1


@pytest.mark.slow
def test_the_first_process_alone_loads_what_it_measures_with(here: Path):
    Path("rubbish.pt").write_bytes(b"rubbish")
    asked = ("evaluate", "protocol", "tiny", "--prompts", "test.csv", "--protocol", "audiocaps")
    asked = (*asked, "--references", "clips", "--output", "out", "--limit", 1)
    result = run_in_two_processes(*asked, "--kl", "passt:rubbish.pt")
    assert result.returncode != 0
    assert result.stderr.count("stable-audio-open: rubbish.pt: cannot be read as a checkpoint") == 1
    others = "stable-audio-open: the first process cannot go on: rubbish.pt: cannot be read"
    assert result.stderr.count(others) <= 1  # torchrun may end the other one before it speaks
    assert "Connection closed" not in result.stderr
    assert not Path("out").exists()


@pytest.mark.slow
@needs_musicnn
def test_audiocaps_from_prompts_to_tables(run: Run, here: Path):
    asked = ("evaluate", "protocol", "tiny", "--prompts", "test.csv", "--protocol", "audiocaps")
    asked = (*asked, "--references", "clips", "--output", "out", *FAST)
    asked = (*asked, "--frechet", "musicnn", "--kl", "musicnn")
    result = run(*asked)
    assert result.returncode == 2
    assert result.stderr == (
        "stable-audio-open: clips: 1 of 3 references are missing: ccccccccccc; add them, or leave "
        "them out with --allow-missing\n"
    )
    assert not Path("out").exists()

    result = run(*asked, "--allow-missing")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "out/missing_references.txt: 1 references are missing",
        "out/generations, all: 4 files, 1 without a reference; frechet, kl",
        "out/generations, no-speech: 3 files, 1 without a reference; nothing measured",
        "out/generations, no-connectors: 3 files, 1 without a reference; nothing measured",
        "out/generations, no-speech-no-connectors: 2 files, 1 without a reference; nothing "
        "measured",
        "out/reconstructions, all: 2 files; reconstruction",
        "out/report.md",
        "out/report.json",
        "out/report.html",
    ]
    assert Path("out/missing_references.txt").read_text() == "ccccccccccc\n"
    # References are cut as the generations are, and compared under the captions' names.
    cut = audio_info("out/references/aaaaaaaaaaa.flac")
    assert (cut.sample_rate, cut.channels, cut.frames) == (48000, 1, round(131072 / 44100 * 48000))
    pairs = sorted(path.name for path in Path("out/comparisons/generation-all/pairs").iterdir())
    assert pairs == ["11.flac", "12.flac", "13.flac"]
    # Decoded recordings keep their length, and are compared at the paper's rate.
    for name, seconds in (("aaaaaaaaaaa", 4), ("-bbbbbbbbbb", 1)):
        info = audio_info(f"out/reconstructions/{name}.wav")
        assert (info.frames, info.channels) == (seconds * 44100, 2)
    kept = json.loads(Path("out/reconstructions/results/all/reconstruction.json").read_text())
    assert (kept["sample_rate"], kept["channels"]) == (44100, 2)

    report = json.loads(Path("out/report.json").read_text())
    rows = {t["number"]: [r for r in t["rows"] if r["ours"]] for t in report["tables"]}
    # musicnn's figures stand below the tables, never in the columns of OpenL3 and PaSST.
    assert all(row["values"] == [None, None, None] for row in rows[1])
    table = Path("out/report.md").read_text()
    assert table.count("not the paper's metric") >= 2
    assert "by musicnn" in table
    assert rows[3][0]["values"][0] > 0
    assert not rows[2]
    page = Path("out/report.html").read_text()
    assert 'src="generations/11.flac"' in page
    assert 'src="reconstructions/-bbbbbbbbbb.wav"' in page

    # Another recording of a clip takes the place of what was made of the first.
    soundfile.write("clips/aaaaaaaaaaa.wav", torch.full((24000,), 0.1).numpy(), 48000)
    assert run(*asked, "--allow-missing").returncode == 0
    for file in ("references/aaaaaaaaaaa.flac", "reconstructions/aaaaaaaaaaa.wav"):
        assert audio_info(f"out/{file}").duration == pytest.approx(0.5, abs=1e-4)

    again = run("evaluate", "report", "out", "--output", "out", "--players", 1)
    assert again.returncode == 0, again.stderr
    assert again.stdout.endswith("5 figures of 2 folders\n")


@pytest.mark.slow
@needs_musicnn
def test_what_one_clip_cannot_tell_leaves_the_rest(run: Run, here: Path):
    """One window has no covariance, and silence no distance; the run made all the rest."""
    asked = ("evaluate", "protocol", "tiny", "--prompts", "test.csv", "--protocol", "audiocaps")
    asked = (*asked, "--references", "clips", "--limit", 1, "--output", "out", *FAST)
    soundfile.write("clips/aaaaaaaaaaa.wav", torch.zeros(48000).numpy(), 48000)
    result = run(*asked, "--frechet", "musicnn", "--kl", "musicnn")
    assert result.returncode == 0, result.stderr
    made = "out/comparisons/generation-all"
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        "out/generations, all: 1 files; kl",
        f"warning: no frechet of all: {made}/references: a covariance needs at least 2 windows, "
        "there is 1; add recordings",
    ]
    assert lines[-5:-3] == [
        "out/reconstructions, all: 1 files; nothing measured",
        "warning: no reconstruction of all: out/comparisons/reconstruction-all/made: there is "
        "nothing to measure (1 originals are silent); give recordings with sound",
    ]
    assert not Path("out/generations/results/all/frechet.json").exists()
    report = json.loads(Path("out/report.json").read_text())
    figures = [one["metric"] for made in report["runs"] for one in made["measurements"]]
    assert figures == ["kl_divergence"]


@pytest.mark.slow
def test_a_slice_goes_on_to_the_whole(run: Run, here: Path):
    asked = ("evaluate", "protocol", "tiny", "--prompts", "test.csv", "--protocol", "audiocaps")
    asked = (*asked, "--references", "clips", "--allow-missing", "--seed", 3, *FAST)
    folders = ("generations", "reconstructions", "references")

    def made(output: str) -> dict[str, bytes]:
        paths = [path for folder in folders for path in Path(output, folder).glob("*.[fw]*")]
        return {path.relative_to(output).as_posix(): path.read_bytes() for path in paths}

    assert run(*asked, "--output", "out", "--limit", 2).returncode == 0
    slice_ = made("out")
    assert len(slice_) == 2 + 1 + 1  # both captions are of one clip
    times = {name: Path("out", name).stat().st_mtime_ns for name in slice_}
    assert "2 generations for audiocaps" in Path("out/report.md").read_text()

    result = run(*asked, "--output", "out")
    assert result.returncode == 0, result.stderr
    logged = [line for line in result.stderr.splitlines() if line.endswith("made")]
    assert logged == [
        "INFO: out/references: 2 of 2 files made",
        "INFO: out/reconstructions: 2 of 2 files made",
        *(f"INFO: out/generations: {n} of 4 files made" for n in (3, 4)),
    ]
    assert {name: Path("out", name).stat().st_mtime_ns for name in slice_} == times
    report = json.loads(Path("out/report.json").read_text())
    assert [len(one["items"]) for one in report["runs"]] == [4, 2]
    assert {m["files"] for one in report["runs"] for m in one["measurements"]} == {2}
    assert "4 generations for audiocaps" in Path("out/report.md").read_text()

    assert run(*asked, "--output", "at_once").returncode == 0
    assert made("at_once") == made("out")
    figures = Path("results/all/reconstruction.json")
    one, other = (
        json.loads((Path(output, "reconstructions") / figures).read_text())["per_file"]
        for output in ("out", "at_once")
    )
    assert one == other


@pytest.mark.slow
@needs_musicnn
def test_silence_is_told_and_nothing_stays_of_other_files(run: Run, here: Path):
    asked = ("evaluate", "protocol", "tiny", "--prompts", "test.csv", "--protocol", "audiocaps")
    asked = (*asked, "--references", "clips", "--part", "generation", "--allow-missing", *FAST)
    asked = (*asked, "--output", "out")
    first = run(*asked, "--frechet", "musicnn")
    assert first.returncode == 0, first.stderr
    assert "silent" not in first.stdout
    results = Path("out/generations/results/all")
    assert (results / "frechet.json").is_file()

    for path in Path("out/generations").glob("*.flac"):
        samples, rate = soundfile.read(path)
        soundfile.write(path, 0 * samples, rate)
    again = run(*asked, "--frechet", "musicnn")
    assert again.returncode == 0, again.stderr
    assert "warning: 4 of 4 files are silent" in again.stdout
    for name in ("report.md", "report.html"):
        assert "4 files against 2, 4 of them silent; " in Path("out", name).read_text()

    # No caption of these is about something else than speech, and nobody listens.
    fewer = run(*asked, "--limit", 2, "--subset", "no-speech")
    assert fewer.returncode == 0, fewer.stderr
    last = run(*asked, "--limit", 2)
    assert last.returncode == 0, last.stderr
    assert not (results / "frechet.json").exists()
    assert "silent" not in last.stdout


def test_distances_are_those_of_sounds_as_loud_as_they_are(run: Run, here: Path):
    """A recording above full scale, as MP3 gives them, whose decoding is above it too."""
    Path("loud").mkdir()
    noise = torch.randn(44100, 2, generator=torch.Generator().manual_seed(0))
    soundfile.write("loud/aaaaaaaaaaa.wav", noise.numpy(), 44100, subtype="FLOAT")
    asked = ("evaluate", "protocol", "tiny", "--prompts", "test.csv", "--protocol", "audiocaps")
    asked = (*asked, "--references", "loud", "--part", "autoencoder", "--allow-missing")
    result = run(*asked, "--output", "out", *FAST)
    assert result.returncode == 0, result.stderr
    decoded = read_audio("out/reconstructions/aaaaaaaaaaa.wav").samples
    assert decoded.abs().max() > 1
    straight = run("evaluate", "reconstruction", "tiny", "loud", "--output", "straight.json")
    assert straight.returncode == 0, straight.stderr
    ours, theirs = (
        json.loads(Path(path).read_text())["mean"]
        for path in ("out/reconstructions/results/all/reconstruction.json", "straight.json")
    )
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_an_autoencoder_alone_on_song_describer(
    run: Run, here: Path, tiny_autoencoder_folder: Path
):
    asked = ("evaluate", "protocol", tiny_autoencoder_folder, "--protocol", "song-describer")
    asked = (*asked, "--prompts", "song_describer.csv", "--references", "tracks", *FAST)
    result = run(*asked, "--output", "out")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[:2] == [
        "out/reconstructions, no-singing: 1 files; reconstruction",
        "out/reconstructions, all: 2 files; reconstruction",
    ]
    report = json.loads(Path("out/report.json").read_text())
    rows = {t["number"]: [r for r in t["rows"] if r["ours"]] for t in report["tables"]}
    assert rows[4][0]["about"] == ["16kHz", "500Hz", "continuous (8)"]
    assert rows[4][0]["values"] != rows[7][0]["values"]

    refused = run(*asked, "--output", "other", "--part", "generation")
    assert refused.returncode == 2
    assert refused.stderr.endswith("is an autoencoder alone; ask for the part autoencoder\n")
    assert not Path("other").exists()


def test_mistakes(refuse: Refuse, here: Path):
    refuse(
        *MAKE,
        *("--output", "out", "--subset", "no-singing"),
        code=2,
        message="audiocaps has no subset 'no-singing'; allowed: all, no-speech, no-connectors, "
        "no-speech-no-connectors",
    )
    refuse(
        *MAKE, "--output", "out", "--steps", 0, code=2, message="steps must be at least 1, got 0"
    )
    refuse(
        *("evaluate", "generate", "tiny", "--protocol", "audiocaps", "--prompts", "none.csv"),
        *("--output", "out"),
        code=1,
        message="none.csv: No such file or directory",
    )
    refuse(
        *("evaluate", "report", "clips", "--output", "out"),
        code=2,
        message="clips: holds no settings.json; give a folder of `evaluate generate` or `evaluate "
        "protocol`",
    )
    refuse(
        *("evaluate", "protocol", "tiny", "--protocol", "song-describer", "--prompts", "test.csv"),
        *("--references", "tracks", "--output", "out"),
        code=2,
        message="test.csv: the header lacks caption_id, track_id; found: audiocap_id, youtube_id, "
        "start_time, caption; give the table of this data set as it is published",
    )
