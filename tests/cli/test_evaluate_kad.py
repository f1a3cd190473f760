"""`stable-audio-open evaluate kad`, end to end on small recordings."""

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
COMMAND = ("evaluate", "kad")
BY = ("--embedder", "mean-log-mel")


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Twelve recordings, the same with a little and with much noise; also the current folder."""
    generator = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    for index in range(12):
        tone = 0.2 * np.sin(2 * np.pi * 110 * 2 ** (index / 3) * time) * np.exp(-time * index)
        stereo = np.stack([tone, 0.5 * tone], axis=1)
        for name, level in (("clean", 0.0), ("near", 0.003), ("noisy", 0.1)):
            (tmp_path / name).mkdir(exist_ok=True)
            noise = level * generator.standard_normal(stereo.shape)
            path = tmp_path / name / f"{index}.wav"
            soundfile.write(path, stereo + noise, RATE, subtype="FLOAT")
    return tmp_path


@pytest.mark.slow
@needs_musicnn
def test_it_prints_and_writes_its_result(run: Run, sets: Path) -> None:
    result = run(
        *(*COMMAND, "noisy", "clean", "--embedder", "musicnn", "--against", "near"),
        *("--resamples", 200, "--confidence", 0.9, "--seed", 3, "-o", "kad.json"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("kernel distance ")
    assert lines[0].endswith("] (12 files, 12 windows; reference 12 files, 12 windows)")
    assert lines[1].startswith("that of near ")
    assert lines[1].endswith("] (12 files, 12 windows; 12 of them paired)")
    assert lines[2].startswith("difference ")
    assert lines[2].endswith("], which leaves out 0: near is nearer")
    assert lines[3] == "intervals of 90 %, 200 resamples"
    assert lines[4] == (
        "definition: 1000 x unbiased squared MMD over the windows of all files, without pairs of "
        "one id; Gaussian kernel, bandwidth the median distance of the reference's windows; peak "
        "-1 dBFS, left and right joined"
    )
    assert lines[5].startswith("checkpoint: musicnn MTT_musicnn sha256:")
    written = json.loads((sets / "kad.json").read_text())
    own, other = written["kernel_distance"], written["against"]
    assert own["low"] < own["value"] < own["high"]
    assert other["distance"]["value"] < own["value"]
    assert other["difference"]["value"] == pytest.approx(own["value"] - other["distance"]["value"])
    assert other["difference"]["low"] > 0
    assert other["leaves_out_0"] is True
    assert (written["seed"], written["confidence"], written["resamples"]) == (3, 0.9, 200)
    assert (written["dimensions"], written["bandwidth_windows"]) == (400, 12)
    assert written["bandwidth"] > 0
    assert lines[0].split()[2] == f"{own['value']:.6g}"


def test_log_mel_spectra_are_compared_in_the_same_way(run: Run, sets: Path) -> None:
    result = run(*COMMAND, "noisy", "clean", *BY, "--against", "near", "--channels", "mono")
    assert (result.returncode, result.stderr) == (0, "")
    assert "which leaves out 0: near is nearer" in result.stdout
    assert "mean of the channels, " not in result.stdout
    assert "checkpoint: mean log-mel 64 bands, frames of 0.032 s, weights none" in result.stdout
    swapped = run(*COMMAND, "near", "clean", *BY, "--against", "noisy", "--channels", "mono")
    assert "which leaves out 0: near is nearer" in swapped.stdout


def test_the_same_seed_prints_the_same(run: Run, sets: Path) -> None:
    first, again, other = (
        run(*COMMAND, "noisy", "clean", *BY, "--seed", seed).stdout.splitlines()
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first[0].split()[:3] == other[0].split()[:3]
    assert first[0] != other[0]


def test_a_folder_is_at_0_from_itself(run: Run, sets: Path) -> None:
    result = run(*COMMAND, "clean", "clean", *BY, "--against", "clean", "-o", "kad.json")
    assert result.returncode == 0, result.stderr
    written = json.loads((sets / "kad.json").read_text())
    for found in (written["kernel_distance"], written["against"]["difference"]):
        assert found == pytest.approx({"value": 0.0, "low": 0.0, "high": 0.0}, abs=1e-9)
    assert written["of_all_pairs"] < -10
    assert "which holds 0" in result.stdout


def test_several_sounds_of_a_caption_are_one_group(run: Run, sets: Path) -> None:
    """Two seeds of each, named by what they were made from; references are the captions."""
    lines = ["id,group"]
    (sets / "seeds").mkdir()
    for index in range(12):
        for seed, folder in enumerate(("near", "noisy")):
            name = f"{index}_seed{seed}"
            shutil.copy(sets / folder / f"{index}.wav", sets / "seeds" / f"{name}.wav")
            lines.append(f"{name},{index}")
    (sets / "groups.csv").write_text("\n".join(lines) + "\n")
    result = run(*COMMAND, "seeds", "clean", *BY, "--groups", "groups.csv", "-o", "kad.json")
    assert (result.returncode, result.stderr) == (0, "")
    assert "] (24 files in 12 groups, 24 windows; reference 12 files, 12 windows)" in result.stdout
    assert "without pairs of one group; " in result.stdout
    assert json.loads((sets / "kad.json").read_text())["groups"] == 12
    alone = run(*COMMAND, "seeds", "clean", *BY, "--allow-missing")
    assert "missing: 12 ids, '0' first" in alone.stdout
    assert "extra: 24 ids, '0_seed0' first" in alone.stdout


def test_few_recordings_are_told(run: Run, sets: Path) -> None:
    for index in range(4, 12):
        (sets / "noisy" / f"{index}.wav").unlink()
    result = run(*COMMAND, "noisy", "clean", *BY, "--allow-missing")
    assert (
        "caution: 4 recordings or groups in a set are few: the interval is a rough one"
        in result.stdout.splitlines()
    )
    assert "missing: 8 ids, '10' first" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("gone", "clean", *BY), 2, "gone: no such folder; check the path"),
        (("noisy", "gone", *BY), 2, "gone: no such folder; check the path"),
        (("noisy", "clean", *BY, "--against", "gone"), 2, "gone: no such folder; check the path"),
        (("noisy/1.wav", "clean", *BY), 2,
         "noisy/1.wav: is a file; give the folder of the recordings"),
        (("noisy", "empty", *BY), 2, "empty: holds no audio; use WAV, FLAC, Ogg, MP3 or AIFF"),
        (("noisy", "fewer", *BY), 2,
         "noisy: has '10', '11', '4' and 5 more, not in fewer; remove them, or pass "
         "--allow-missing"),
        (("fewer", "clean", *BY), 2,
         "fewer: lacks '10', '11', '4' and 5 more of clean; add them, or pass --allow-missing"),
        (("noisy", "clean", *BY, "--against", "fewer"), 2,
         "fewer: lacks '10', '11', '4' and 5 more of clean; add them, or pass --allow-missing"),
        (("one", "clean", *BY, "--allow-missing"), 2,
         "one: a kernel distance needs at least 2 recordings in a set, there is 1; add recordings"),
        (("clean", "one", *BY, "--allow-missing"), 2,
         "one: a kernel distance needs at least 2 recordings in a set, there is 1; add recordings"),
        (("noisy", "silent", *BY), 2,
         "silent: half of the vectors' pairs or more are equal, so that their median distance is "
         "0; give other recordings than copies of one, or silence"),
        (("noisy", "broken", *BY), 1,
         "broken/1.wav: not a readable audio file (Format not recognised); use WAV, FLAC, Ogg, "
         "MP3 or AIFF"),
        (("noisy", "clean", *BY, "--resamples", "99"), 2,
         "99 resamples make no interval; give at least 100"),
        (("noisy", "clean", *BY, "--confidence", "95"), 2,
         "confidence must be at least 0.5 and below 1, got 95; 0.95 is usual"),
        (("noisy", "clean", *BY, "--seed", "-1"), 2,
         "seed must be between 0 and 4294967295, got -1"),
        (("noisy", "clean", *BY, "-o", "gone/kad.json"), 2,
         "gone/kad.json: the folder gone does not exist; create it or choose another one"),
        (("noisy", "clean", "--embedder", "louder"), 2,
         "no embedder 'louder'; allowed: clap:FOLDER, clap:FILE.pt, openl3:FILE.h5, "
         "passt:FILE.pt, panns:FILE.pth, log-mel, mean-log-mel, musicnn, musicnn:WEIGHTS"),
        (("noisy", "clean", *BY, "--groups", "gone.csv"), 1,
         "gone.csv: No such file or directory"),
        (("noisy", "clean", *BY, "--groups", "no_column.csv"), 2,
         "no_column.csv: lacks the column 'group', has ['id', 'caption']; the first line must "
         "name id and group"),
        (("noisy", "clean", *BY, "--groups", "twice.csv"), 2,
         "twice.csv, line 3: '0' is in the group 'a' already; leave one line out"),
        (("noisy", "clean", *BY, "--groups", "cell.csv"), 2,
         "cell.csv, line 2: needs an id and a group"),
        (("noisy", "clean", *BY, "--groups", "head.csv"), 2,
         "head.csv: holds no groups; add a line for each recording"),
        (("noisy", "clean", *BY, "--groups", "part.csv"), 2,
         "noisy: '1' is in no group, as 11 of 12 recordings; name the group of each"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_and_leaves_nothing(
    refuse: Callable[..., None], sets: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    for name in ("empty", "fewer", "one", "silent", "broken"):
        (sets / name).mkdir()
    for index in range(12):
        samples, rate = soundfile.read(sets / "clean" / f"{index}.wav", dtype="float32")
        soundfile.write(sets / "silent" / f"{index}.wav", 0 * samples, rate)
        shutil.copy(sets / "clean" / f"{index}.wav", sets / "broken")
        if index < 4:
            shutil.copy(sets / "clean" / f"{index}.wav", sets / "fewer")
    (sets / "broken" / "1.wav").write_text("this is not a recording")
    shutil.copy(sets / "clean" / "0.wav", sets / "one")
    for name, lines in (
        *(("no_column", "id,caption\n0,a\n"), ("twice", "id,group\n0,a\n0,b\n")),
        *(("cell", "id,group\n0,\n"), ("head", "id,group\n"), ("part", "id,group\n0,a\n")),
    ):
        (sets / f"{name}.csv").write_text(lines)
    refuse(*COMMAND, *arguments, code=code, message=message)
