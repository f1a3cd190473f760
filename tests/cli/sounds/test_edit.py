"""`inpaint` and `extend` on the command line."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.cli.sounds.edit import pair_spans

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]

RATE = 16000


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """0.8 s at the small model's rate, in the folder where commands run."""
    noise = 0.1 * torch.randn(1, 2, 12800, generator=torch.Generator().manual_seed(0))
    Audio(noise, RATE).save("rain.wav", subtype="float")
    return "rain.wav"


def words(command: str, model: Path, *more: object) -> list[object]:
    return [command, "rain.wav", "deep kick", "--model", model, "--steps", 2, "--seed", 7, *more]


def test_spans_are_made_anew(run: Run, recording: str, tiny_model_folder: Path):
    request = words("inpaint", tiny_model_folder, "--span", 0.1, 0.2, "--span", 0.5, 0.6)
    result = run(*request, "--output", "new.wav", "--subtype", "float")
    assert (result.returncode, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert re.fullmatch(r'new\.wav: 0\.80 s, sound ends at 0\.\d\d s, seed 7, "deep kick"', first)
    assert re.fullmatch(r"model loaded in [\d.]+ s; 0\.80 s of sound in [\d.]+ s \(.*\)", second)
    before, after = (soundfile.read(name)[0] for name in (recording, "new.wav"))
    changed = (before != after).any(axis=1)
    assert changed[1600:3200].all()
    assert changed[8000:9600].all()
    assert changed.sum() == 3200


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("a.wav x --span 1 2 --span .5 -1 -o b", ["--span", "1 2", "--span", ".5 -1"]),
        ("a.wav x --span=1 2 --span=.5 -1 -o b", ["--span=1 2", "--span=.5 -1"]),
        ("a.wav x --span=1 --seed 3", ["--span=1", "--seed", "3"]),
        ("a.wav x --span 1 -o b", ["--span", "1"]),
        ("a.wav x --span", ["--span"]),
        ("a.wav -- --span 1 2", ["--", "--span", "1", "2"]),
    ],
)
def test_the_two_numbers_of_a_span_are_one_word(given: str, found: list[str]):
    words = [word for word in pair_spans(given.split()) if word not in ("a.wav", "x", "-o", "b")]
    assert words == found
    assert pair_spans(["--span", "1 2", "a.wav", "x"]) == ["--span", "1 2", "a.wav", "x"]


@pytest.mark.parametrize(("flags", "first"), [([], 0), (["--before"], 1600)])
def test_a_sound_is_made_longer(
    run: Run, recording: str, tiny_model_folder: Path, flags: list[str], first: int
):
    request = words("extend", tiny_model_folder, "--seconds", 0.1, *flags)
    result = run(*request, "--subtype", "float")
    assert (result.returncode, result.stderr) == (0, "")
    before, after = (soundfile.read(name)[0] for name in (recording, "rain_7.wav"))
    assert after.shape == (14400, 2)
    assert (after[first : first + 12800] == before).all()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            ["inpaint", "--span", 0.5, 0.4],
            "a span must start at 0 s or later and end behind its start, got (0.5, 0.4)",
        ),
        (
            ["inpaint", "--span", 0.5, 0.9],
            "span (0.5, 0.9) ends behind the sound, which is 0.800 s long; to make it longer, use "
            "extend",
        ),
        (
            ["inpaint", "--span", 0.5, "--seed", 3],
            "--span 0.5: give two numbers of seconds, such as --span 1.2 2.0",
        ),
        (
            ["extend", "--seconds", 0],
            "seconds must be above 0 and below the model's window of 1.00 s, in which some of the "
            "sound has its place too, got 0; give at most 0.998",
        ),
        (
            ["extend", "--seconds", 0.1, "--output", "rain.wav"],
            "rain.wav: is the recording itself; choose another output",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(
    refuse: Refuse,
    recording: str,
    tiny_model_folder: Path,
    request_: list[object],
    message: str,
):
    command, *more = request_
    refuse(*words(str(command), tiny_model_folder, *more), code=2, message=message)


def test_a_missing_span_is_told(refuse: Refuse, recording: str):
    refuse(
        "inpaint",
        recording,
        "deep kick",
        code=2,
        message="Missing option '--span'; see stable-audio-open inpaint --help",
    )


def test_an_edit_is_made_again_from_its_tags(run: Run, recording: str, tiny_model_folder: Path):
    run(*words("inpaint", tiny_model_folder, "--span", 0.1, 0.2), "--output", "new.wav")
    assert run("regenerate", "new.wav", "--output", "again.wav").returncode == 0
    first, second = (soundfile.read(name)[0] for name in ("new.wav", "again.wav"))
    assert (first == second).all()


def test_takes_of_a_span_go_into_a_folder(run: Run, recording: str, tiny_model_folder: Path):
    request = words("inpaint", tiny_model_folder, "--span", 0.1, 0.2, "--variations", 2)
    assert run(*request, "--output", "takes", "--sample-rate", 8000).returncode == 0
    names = sorted(path.name for path in Path("takes").iterdir())
    assert names == ["rain_7.wav", "rain_8.wav"]
    assert soundfile.info("takes/rain_8.wav").samplerate == 8000
    run(*request, "--output", "takes", "--name", "{index}_{prompt}.flac")
    assert {path.name for path in Path("takes").glob("*.flac")} == {
        "0_deep-kick.flac",
        "1_deep-kick.flac",
    }
    first, second = (soundfile.read(f"takes/{name}")[0] for name in names)
    assert (first != second).any()


@pytest.mark.parametrize("folder", [".", "sub/.."])
def test_the_recording_is_never_replaced(
    run: Run, recording: str, tiny_model_folder: Path, folder: str
):
    Path("sub").mkdir()
    before = Path(recording).read_bytes()
    request = words("inpaint", tiny_model_folder, "--span", 0.1, 0.2, "--output", folder)
    for _ in range(2):
        assert run(*request, "--name", "rain", "--overwrite").returncode == 0
    assert Path(recording).read_bytes() == before
    assert sorted(path.name for path in Path().glob("*.wav")) == ["rain.wav", "rain_2.wav"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "--condition bpm=120 --guidance-scale 2",
        "--edges generated",
        "--crossfade 0",
        "--resampling 1",
        "--sigma-max 20",
        "--schedule karras --sampler euler",
        "--guidance-interval 1 500",
    ],
)
def test_every_option_changes_the_sound(
    run: Run, recording: str, tiny_model_folder: Path, flow_folder: Path, options: str
):
    model = flow_folder if "bpm" in options else tiny_model_folder
    plain = "--condition bpm=90 --guidance-scale 2" if "bpm" in options else ""
    contents = []
    for given in (plain, options):
        request = words("inpaint", model, "--span", 0.1, 0.3, *given.split(), "--overwrite")
        result = run(*request, "--output", "x.wav", "--no-tags")
        assert (result.returncode, result.stderr) == (0, "")
        contents.append(Path("x.wav").read_bytes())
    assert contents[0] != contents[1]
