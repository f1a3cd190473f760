"""What users get wrong with `evaluate protocol`: one line, before anything long has been done."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]

HEADER = "audiocap_id,youtube_id,start_time,caption\n"
CLIP = "aaaaaaaaaaa"


@pytest.fixture
def here(run: Run, tmp_path: Path) -> Path:
    """The current folder: a caption, its reference of 1 s, and wrong things to take for them."""
    Path("test.csv").write_text(f"{HEADER}11,{CLIP},0,A deep kick drum\n12,b,0,A man\n")
    Path("no_column.csv").write_text("audiocap_id,caption\n11,x\n")
    Path("empty.csv").write_text("")
    Path("twice.csv").write_text(f"{HEADER}11,{CLIP},0,x\n11,{CLIP},0,y\n")
    Path("man.csv").write_text(f"{HEADER}11,{CLIP},0,A man\n")
    noise = 0.1 * np.random.default_rng(0).standard_normal((16000, 2))
    for folder in ("clips", "wide", "cut", "none"):
        Path(folder).mkdir()
    soundfile.write(f"clips/{CLIP}.flac", noise, 16000)
    soundfile.write(f"wide/{CLIP}.wav", noise[:, :1].repeat(6, axis=1), 16000)
    soundfile.write(f"cut/{CLIP}.wav", noise, 16000)
    cut = Path(f"cut/{CLIP}.wav")
    cut.write_bytes(cut.read_bytes()[:-1000])
    Path("rubbish.pt").write_bytes(b"rubbish")
    Path("taken").mkdir()
    Path("taken/references").write_text("a file")
    return tmp_path


def asked(**other: object) -> list[object]:
    """The command with its options, some of them other ones."""
    options = {
        **{"prompts": "test.csv", "protocol": "audiocaps", "references": "clips", "output": "out"},
        **{"steps": 2, "limit": 1, "device": "cpu"},
        **{name.replace("_", "-"): value for name, value in other.items()},
    }
    return [
        *("evaluate", "protocol", "tiny"),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


SEE = "; see stable-audio-open evaluate protocol --help"


@pytest.mark.parametrize(
    ("other", "code", "message"),
    [
        ({"prompts": "no_column.csv"}, 2,
         "no_column.csv: the header lacks youtube_id; found: audiocap_id, caption; give the table "
         "of this data set as it is published"),
        ({"prompts": "empty.csv"}, 2, "empty.csv: is empty; give the table as it is published"),
        ({"prompts": "twice.csv"}, 2,
         "twice.csv:3: caption 11 is there twice; identifiers must differ"),
        ({"prompts": "man.csv", "subset": "no-speech"}, 2,
         "man.csv: none of 1 captions is in the subset no-speech; choose another one"),
        ({"subset": "loud"}, 2,
         "audiocaps has no subset 'loud'; allowed: all, no-speech, no-connectors, "
         "no-speech-no-connectors"),
        ({"limit": 0}, 2,
         f"Invalid value for '--limit': Input should be greater than or equal to 1{SEE}"),
        ({"guidance": "nan"}, 2, "guidance scale must be a finite number, got nan"),
        ({"seed": -1}, 2, "seed must be between 0 and 4294967295, got -1"),
        ({"references": "gone"}, 2,
         "gone: no such folder; give that of the reference recordings"),
        ({"references": "none"}, 2,
         f"none: 1 of 1 references are missing: {CLIP}; add them, or leave them out with "
         "--allow-missing"),
        ({"references": "wide"}, 1,
         f"wide/{CLIP}.wav: has 6 channels; mix it down to stereo first"),
        ({"references": "cut"}, 1,
         f"cut/{CLIP}.wav: the file is truncated (it ends before its header says); download or "
         "export it again"),
        ({"output": "test.csv"}, 1, "test.csv: is a file; give a folder, existing or new"),
        ({"output": "taken"}, 1, "taken/references: is a file; give a folder, existing or new"),
        ({"output": "gone/out"}, 1,
         "gone/out: the folder gone does not exist; create it or choose another one"),
        *(({option: f"{network}:rubbish.pt"}, 2,
           "rubbish.pt: cannot be read as a checkpoint (IndexError); it is damaged or of another "
           "kind: download it again")
          for option, network in (("kl", "passt"), ("kl", "panns"), ("clap", "clap"))),
        ({"frechet": "log-mel", "listeners_device": "cuda:99"}, 2, "device 'cuda:99' is not here"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_and_leaves_nothing(
    refuse: Refuse, run: Run, here: Path, other: dict[str, object], code: int, message: str
) -> None:
    if "listeners_device" in other:  # how many there are differs
        result = run(*asked(**other))
        assert (result.returncode, result.stdout) == (code, "")
        assert result.stderr.startswith(f"stable-audio-open: {message}")
        assert not Path("out").exists()
    else:
        refuse(*asked(**other), code=code, message=message)


def test_no_reference_at_all_is_not_allowed(refuse: Refuse, here: Path) -> None:
    refuse(
        *asked(references="none"), "--allow-missing", code=2,
        message=f"none: holds none of 1 references; name recordings by their clips, such as "
        f"{CLIP}.wav",
    )  # fmt: skip


def test_more_than_there_is_takes_all(run: Run, here: Path, tiny_model_folder: Path) -> None:
    result = run(*asked(limit=100)[:2], tiny_model_folder, *asked(limit=100)[3:], "--allow-missing")
    assert result.returncode == 0, result.stderr
    assert "out/generations, all: 2 files, 1 without a reference" in result.stdout


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def put_nan(path: Path) -> None:
    samples, rate = soundfile.read(path, dtype="float32")
    samples[100] = np.nan
    path.unlink()
    soundfile.write(path.with_suffix(".wav"), samples, rate, subtype="FLOAT")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, f"clips/{CLIP}.flac: the file is truncated or damaged"),
        (put_nan, f"clips/{CLIP}.wav: holds NaN or infinite samples; export the recording again"),
    ],
)
def test_damage_within_a_reference_stops_before_anything_is_generated(
    run: Run, here: Path, spoil: Callable[[Path], None], message: str
) -> None:
    clip = Path(f"clips/{CLIP}.flac")
    whole = clip.read_bytes()
    spoil(clip)
    result = run(*asked())
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"stable-audio-open: {message}")
    assert result.stderr.count("\n") == 1
    assert not list(Path("out").rglob("*.flac"))
    assert not list(Path("out").rglob("*.tmp*"))
    for path in Path("clips").iterdir():
        path.unlink()
    clip.write_bytes(whole)
    # The folder may be used, even with other settings: nothing was made with the first.
    result = run(*asked(steps=1))
    assert result.returncode == 0, result.stderr
    assert "out/reconstructions, all: 1 files; reconstruction" in result.stdout


@pytest.mark.slow
def test_references_are_cut_again_for_another_length(
    run: Run, here: Path, tiny_model_folder: Path
) -> None:
    """Of a run that made nothing, references of its length may be left."""
    noise = 0.1 * np.random.default_rng(1).standard_normal((64000, 2))
    soundfile.write(f"clips/{CLIP}.flac", noise, 16000)
    small = [*asked()[:2], tiny_model_folder, *asked()[3:], "--part", "generation"]
    assert run(*small).returncode == 0
    assert soundfile.info(f"out/references/{CLIP}.flac").duration == 1
    Path("out/generations/11.flac").unlink()
    result = run(*asked(), "--part", "generation")
    assert result.returncode == 0, result.stderr
    assert soundfile.info(f"out/references/{CLIP}.flac").duration == pytest.approx(2.972, abs=1e-3)
