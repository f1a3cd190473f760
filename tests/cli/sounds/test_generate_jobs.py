"""`generate --jobs`: tables of sounds."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import soundfile

from stable_audio_open.audio.writing.tags import read_tags
from stable_audio_open.data.processes import JoinedProcesses
from tests.full_disk import full_disk

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def request_words(tiny_model_folder: Path) -> list[object]:
    """A table that is written as t.csv."""
    return [
        *("generate", "--model", tiny_model_folder, "--steps", 2, "--duration", 0.25),
        *("--jobs", "t.csv", "--output", "sounds"),
    ]


def write(text: str, name: str = "t.csv") -> None:
    Path(name).write_text(text)


def results() -> list[dict[str, Any]]:
    lines = Path("sounds/results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def sounds() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("sounds").glob("*.wav")}


def test_each_row_is_a_sound_with_its_settings(run: Run, request_words: list[object]):
    write(
        "prompt,seed,duration,sampler,negative_prompt,guidance_interval,peak,subtype\n"
        'deep kick,7,0.5,euler,hum,"[1, 100]",-3,pcm16\n'
        "soft bell,,,,,,,\n"
    )
    result = run(*request_words, "--seed", 20, "--guidance-scale", 3)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        'sounds/00000_deep-kick_7.wav: 0.50 s, seed 7, "deep kick"',
        'sounds/00001_soft-bell_21.wav: 0.25 s, seed 21, "soft bell"',
        "sounds: 2 rows made, 0 were there, 0 failed; results.jsonl has a line for each",
    ]
    tags = read_tags("sounds/00000_deep-kick_7.wav")
    settings: Any = tags["settings"]
    assert {name: settings[name] for name in ("sampler", "guidance_interval", "steps")} == {
        "sampler": "euler", "guidance_interval": [1, 100], "steps": 2,
    }  # fmt: skip
    assert (settings["negative_prompt"], settings["guidance_scale"]) == ("hum", 3.0)
    assert tags["finishing"] == [{"fade": 0.005, "peak": -3.0}]
    assert soundfile.info("sounds/00000_deep-kick_7.wav").subtype == "PCM_16"
    assert soundfile.info("sounds/00001_soft-bell_21.wav").subtype == "PCM_24"
    assert [(line["row"], line["line"], line["status"]) for line in results()] == [
        (0, 2, "done"),
        (1, 3, "done"),
    ]
    assert results()[0]["files"] == ["00000_deep-kick_7.wav"]
    assert (results()[0]["seeds"], results()[0]["seconds"]) == ([7], [0.5])


def test_lines_of_json_name_files_and_variations(run: Run, request_words: list[object]):
    write(
        '{"prompt": "kick", "variations": 2, "seed": 4, "name": "{prompt}-{seed:03d}.flac"}\n'
        '{"prompt": "bell", "guidance_interval": [0, 9], "seed": 9}\n',
        "t.jsonl",
    )
    request_words[request_words.index("t.csv")] = "t.jsonl"
    assert run(*request_words).returncode == 0
    assert results()[0]["files"] == ["kick-004.flac", "kick-005.flac"]
    assert results()[0]["seeds"] == [4, 5]
    assert results()[1]["files"] == ["00001_bell_9.wav"]


def test_a_bad_row_stops_no_other(run: Run, request_words: list[object]):
    write(
        "prompt,duration,steps,init_audio,sampler\n"
        "kick,0.5,,,\n"
        "kick,-9,,,\n"
        ",,,,\n"
        " ,0.2,,,\n"
        "bell,,many,,\n"
        "bell,,,missing.wav,\n"
        "bell,,,,eulr\n"
        "bell,,,,\n"
    )
    result = run(*request_words, "--seed", 1)
    assert result.returncode == 1
    *warnings, unknown = result.stderr.splitlines()
    assert warnings == [
        "WARNING: t.csv:3: duration must be above 0 and at most 3600 seconds, got -9",
        "WARNING: t.csv:5: prompt is missing; describe the sound in a few words",
        "WARNING: t.csv:6: steps is 'many', which is no number, list, true or false",
        "WARNING: t.csv:7: missing.wav: no such file; check the path",
    ]
    assert unknown.startswith('WARNING: t.csv:8: unknown sampler "eulr"; did you mean "euler"?')
    assert result.stdout.splitlines()[-1] == (
        "sounds: 2 rows made, 0 were there, 5 failed; results.jsonl has a line for each"
    )
    assert sorted(sounds()) == ["00000_kick_1.wav", "00006_bell_7.wav"]
    failed = [line for line in results() if line["status"] == "failed"]
    assert [line["line"] for line in failed] == [3, 5, 6, 7, 8]
    assert failed[0]["error"].startswith("duration must be above 0")


def test_rows_that_cannot_be_made_are_told_before_any_work(
    run: Run, request_words: list[object], monkeypatch: pytest.MonkeyPatch
):
    write(
        '{"prompt": "a", "loop": true, "fade": 0.1}\n'
        '{"prompt": "b", "guidance_rescale": 0.5, "guidance_parallel": 0}\n'
        '{"prompt": "c", "trim": "no"}\n'
        '{"prompt": "d", "init_strength": 0.5}\n'
        '{"prompt": [[0, "e"], [0.5, "f"]], "duration": 0.4}\n'
        '{"prompt": "g", "samples": 900, "loudness": -16, "peak": -1}\n'
        '{"prompt": [["h", 0.5], ["", 0.5]]}\n'
        '{"prompt": "i", "negative_prompt": ""}\n',
        "t.jsonl",
    )
    request_words[request_words.index("t.csv")] = "t.jsonl"
    request_words[2] = "no such model"  # is not looked for
    result = run(*request_words)
    assert result.returncode == 1
    assert [line.split(":", 3)[3].strip() for line in result.stderr.splitlines()] == [
        "a loop has no end: leave out fade and trim_silence",
        "guidance_rescale 0.5 acts on the velocity and guidance_parallel, guidance_norm and "
        "guidance_momentum on x0; give one of them",
        "trim must be True or False, got 'no' (str)",
        "init_strength 0.5 says how much is left of init_audio, which is missing",
        "a prompt begins at 0.5 seconds, and the sound ends at 0.4; give an earlier time or a "
        "longer duration",
        "loudness -16 and peak -1 are two levels for one sound; give one of them",
        "prompt is empty; describe the sound in a few words",
        "negative_prompt is empty; describe the sound in a few words",
    ]


def test_names_and_prompts_of_every_kind(run: Run, request_words: list[object], recordings: Path):
    """Folders and files need not be of UTF-8, and every line that is printed is one."""
    Path("lists\udcff").mkdir()
    write(
        '{"prompt": "kick\\n\\u0000snare", "seed": 3}\n'
        '{"prompt": "a", "init_audio": "no.wav"}\n'
        '{"prompt": "a", "init_audio": "n\\u0000o.wav"}\n'
        '{"prompt": "a", "init_audio": 5}\n'
        '{"prompt": "a", "name": "x\\n{seed}"}\n'
        '{"prompt": "a\\ud800"}\n',
        "lists\udcff/t.jsonl",
    )
    request_words[request_words.index("t.csv")] = "lists\udcff/t.jsonl"
    result = run(*request_words)
    assert result.returncode == 1
    assert result.stdout.splitlines()[0].endswith(': 0.25 s, seed 3, "kick \\x00snare"')
    table = r"WARNING: lists\udcff/t.jsonl"
    *others, last = result.stderr.splitlines()
    assert others == [
        rf"{table}:2: lists\udcff/no.wav: no such file; check the path",
        rf"{table}:3: 'lists\udcff/n\x00o.wav': holds a NUL character, as no path does; give "
        "another path",
        f"{table}:4: init_audio must be the path of a sound, got 5",
        rf"{table}:5: name 'x\n{{seed}}': holds '\n'; give the name of a file, and its folder as "
        "--output",
    ]
    assert last.startswith(f"{table}:6: is no JSON object")
    assert [line["status"] for line in results()] == ["done", *["failed"] * 5]
    assert results()[0]["prompt"] == "kick\n\0snare"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('"conditions": {"bpm": "fast"}', "the condition bpm must be a number, got 'fast' (str)"),
        ('"conditions": "fast"', "conditions must be numbers by name, got 'fast'"),
        ('"guidance_interval": 3', "guidance_interval must be a pair of numbers, got 3 (int)"),
        (
            '"guidance_interval": [3]',
            "guidance_interval must be a pair of numbers, got (3,) (tuple)",
        ),
        ('"window": "x"', "window must be a number, got 'x' (str)"),
        ('"sampler": 5', "sampler must be a name, got 5 (int)"),
        ('"loop": 1', "loop must be True or False, got 1 (int)"),
    ],
)
def test_cells_of_a_wrong_type_are_told_by_their_name(
    run: Run, request_words: list[object], types_unchecked: None, cell: str, message: str
):
    write(f'{{"prompt": "a", {cell}}}\n', "t.jsonl")
    request_words[request_words.index("t.csv")] = "t.jsonl"
    result = run(*request_words)
    assert (result.returncode, result.stderr) == (1, f"WARNING: t.jsonl:1: {message}\n")


def test_mixtures_and_scales_by_level_stand_in_cells(
    run: Run, request_words: list[object], tiny_model_folder: Path
):
    write(
        "prompt,seed,guidance_scale,negative_prompt\n"
        '"[[""kick"", 0.7], [""bell"", 0.3]]",3,"[[1, 2], [100, 5]]","[[""hum"", 1], [""a"", 1]]"\n'
    )
    assert run(*request_words, "--subtype", "float").returncode == 0
    words = ["generate", "kick", "--model", tiny_model_folder, "--steps", 2, "--duration", 0.25]
    words += ["--mix", "0.3:bell", "--guidance-at", "1:2", "--guidance-at", "100:5", "--seed", 3]
    words += ["--negative-prompt", "hum", "--negative-prompt", "a", "--subtype", "float"]
    assert run(*words, "--output", "x.wav").returncode == 0
    (sound,) = sounds()
    row, alone = (soundfile.read(name)[0] for name in (f"sounds/{sound}", "x.wav"))
    assert (row == alone).all()


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(run: Run, request_words: list[object]):
    write("prompt\nkick\nbell\nsnare\n")
    assert run(*request_words).returncode == 0
    before = sounds()
    again = run(*request_words)
    assert (again.returncode, again.stdout) == (
        0,
        "sounds: 0 rows made, 3 were there, 0 failed; results.jsonl has a line for each\n",
    )
    assert sounds() == before
    # A file is gone, a row has changed, one is new, and one has moved.
    (lost,) = results()[1]["files"]
    (Path("sounds") / lost).unlink()
    write("prompt,seed\nsnare,\nbell,\nkick,5\nhat,\n")
    last = run(*request_words).stdout.splitlines()[-1]
    assert last.startswith("sounds: 3 rows made, 1 were there, 0 failed")
    (kept,) = results()[0]["files"]
    assert before[kept] == sounds()[kept]
    assert [line["prompt"] for line in results()] == ["snare", "bell", "kick", "hat", "kick"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", ["--guidance-scale 2", "--dtype bfloat16", "--peak -1", "--subtype pcm16"]
)
def test_other_settings_are_other_sounds(run: Run, request_words: list[object], change: str):
    write("prompt,seed\nkick,5\n")
    run(*request_words)
    first = sounds()
    result = run(*request_words, *change.split())
    assert result.stdout.splitlines()[-1].startswith("sounds: 1 rows made, 0 were there")
    assert sorted(sounds()) == ["00000_kick_5.wav", "00000_kick_5_2.wav"]
    assert sounds()["00000_kick_5.wav"] == first["00000_kick_5.wav"]


def test_another_recording_of_the_same_name_is_another_sound(
    run: Run, request_words: list[object], recordings: Path
):
    write("prompt,seed,init_audio\nkick,5,good.wav\n")
    run(*request_words)
    assert run(*request_words).stdout.startswith("sounds: 0 rows made, 1 were there")
    Path("silent.wav").replace("good.wav")
    assert "1 rows made" in run(*request_words).stdout


def test_recordings_are_beside_the_table(run: Run, request_words: list[object], recordings: Path):
    Path("lists").mkdir()
    Path("good.wav").rename("lists/good.wav")
    write("prompt,seed,init_audio\nkick,5,good.wav\n", "lists/t.csv")
    request_words[request_words.index("t.csv")] = "lists/t.csv"
    assert run(*request_words).returncode == 0
    settings: Any = read_tags("sounds/00000_kick_5.wav")["settings"]
    assert settings["init_audio"]["file"] == "lists/good.wav"


def test_rows_never_replace_each_others_files(run: Run, request_words: list[object]):
    """With --overwrite, what is replaced belongs to no row of the table."""
    words = [*request_words, "--overwrite", "--name", "{prompt}"]
    write("prompt,seed\nkick,1\nkick,2\n")
    Path("sounds").mkdir()
    Path("sounds/kick.wav").write_bytes(b"mine")
    assert run(*words).returncode == 0
    assert [line["files"] for line in results()] == [["kick.wav"], ["kick_2.wav"]]
    assert [read_tags(f"sounds/{name}")["seed"] for name in sorted(sounds())] == [1, 2]
    before = sounds()
    write("prompt,seed\nkick,1\nkick,3\nkick,2\n")
    assert "1 rows made, 2 were there" in run(*words).stdout
    assert [line["files"] for line in results()] == [["kick.wav"], ["kick_3.wav"], ["kick_2.wav"]]
    assert {name: sounds()[name] for name in before} == before


def test_recordings_of_rows_are_never_replaced(
    run: Run, request_words: list[object], recordings: Path
):
    Path("sounds").mkdir()
    before = Path("good.wav").rename("sounds/kick.wav").read_bytes()
    write("prompt,seed,init_audio\nkick,1,\nbell,2,sounds/kick.wav\n")
    assert run(*request_words, "--overwrite", "--name", "{prompt}").returncode == 0
    assert sounds()["kick.wav"] == before
    assert [line["files"] for line in results()] == [["kick_2.wav"], ["bell.wav"]]


def test_a_file_that_another_table_has_replaced_is_made_again(
    run: Run, request_words: list[object]
):
    words = [*request_words, "--overwrite", "--name", "{prompt}"]
    write("prompt,seed\nkick,1\n")
    run(*words)
    first = sounds()
    write("prompt,seed\nkick,2\n", "other.csv")
    others = ["other.csv" if word == "t.csv" else word for word in words]
    assert "1 rows made, 0 were there" in run(*others).stdout
    assert [line["seeds"] for line in results()] == [[2]]
    assert "1 rows made, 0 were there" in run(*words).stdout
    assert sounds() == first


def test_a_failed_row_is_tried_again(run: Run, request_words: list[object], recordings: Path):
    write("prompt,seed,init_audio\nkick,5,later.wav\n")
    assert run(*request_words).returncode == 1
    assert [line["status"] for line in results()] == ["failed"]
    Path("good.wav").rename("later.wav")
    result = run(*request_words)
    assert (result.returncode, result.stderr) == (0, "")
    assert [line["status"] for line in results()] == ["done"]


def test_a_full_disk_stops_the_run(run: Run, request_words: list[object]):
    write("prompt\nkick\nbell\n")
    assert run(*request_words).returncode == 0
    write("prompt\nkick\nbell\nsnare\n")
    before = sounds()
    with full_disk(1000):
        result = run(*request_words)
    assert result.returncode == 1
    assert "could not be saved: File too large; free some space" in result.stderr
    assert sounds() == before
    assert [line["status"] for line in results()] == ["done", "done"]
    assert run(*request_words).returncode == 0
    assert len(sounds()) == 3


@pytest.mark.slow
def test_rows_are_made_again_with_other_limits_of_adapters(
    run: Run, request_words: list[object], save_random_adapter: Callable[..., None]
):
    """Other weights than before are in the file, and the model's own are the same."""
    write("prompt,seed\nkick,1\n")
    save_random_adapter(Path("lora"))
    found = []
    for lora, made in (
        ("lora:0.2:sigma=50..", 1),
        ("lora:0.2:sigma=50..", 0),
        ("lora:0.2:sigma=50..:layers=0", 1),
        ("lora:0.3:sigma=50..:layers=0", 1),
    ):
        result = run(*request_words, "--lora", lora, "--overwrite")
        assert result.stdout.splitlines()[-1].startswith(
            f"sounds: {made} rows made, {1 - made} were"
        )
        found.append(soundfile.read("sounds/00000_kick_1.wav")[0].tobytes())
    assert found[0] == found[1]
    assert len(set(found)) == 3
    save_random_adapter(Path("lora"), seed=1)
    result = run(*request_words, "--lora", "lora:0.3:sigma=50..:layers=0", "--overwrite")
    assert result.stdout.splitlines()[-1].startswith("sounds: 1 rows made, 0 were")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,stesp\nx,3\n", "t.csv: unknown column 'stesp'; did you mean \"steps\"?"),
        ("prompt\n", "t.csv: holds no row; give a column prompt and a row for each sound"),
        ("prompt,model\nx,y\n", "t.csv: column 'model': one model makes all rows; give it as "
         "--model"),
        ("prompt,adapters\nx,y\n", "t.csv: column 'adapters': one model makes all rows; give it as "
         "--lora"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_before_anything_is_made(
    run: Run, refuse: Refuse, request_words: list[object], text: str, message: str
):
    write(text)
    request_words[2] = "no such model"
    refuse(*request_words, code=2, message=message)


def test_wrong_use(run: Run, refuse: Refuse, request_words: list[object]):
    write("prompt\nkick\n")
    refuse(
        *(*request_words, "a prompt"),
        code=2,
        message="give prompts or --jobs t.csv, not both",
    )
    refuse(
        "generate",
        code=2,
        message="Invalid value: give a PROMPT, or a table of sounds as --jobs; see "
        "stable-audio-open generate --help",
    )
    Path("taken").write_bytes(b"")
    request_words[-1] = "x.wav"
    refuse(
        *request_words,
        code=2,
        message="x.wav: is the name of one file, and a table has its sounds in a folder; give a "
        "name without .wav",
    )
    request_words[-1] = "taken"
    refuse(*request_words, code=1, message="taken: is a file; give a folder, existing or new")
    refuse(
        *(*request_words[:-1], "sounds", "--name", "{x}"),
        code=2,
        message="name '{x}': unknown field {x}; allowed: {index}, {prompt}, {seed}",
    )


def test_tables_of_faults_alone_need_no_model(run: Run, request_words: list[object]):
    write("prompt,peak\nkick,loud\n")
    request_words[2] = "no such model"
    result = run(*request_words)
    assert result.returncode == 1
    assert (
        result.stderr
        == "WARNING: t.csv:2: peak is 'loud', which is no number, list, true or false\n"
    )
    assert [line["status"] for line in results()] == ["failed"]


class Alone(JoinedProcesses):
    """One of several processes, which waits for none."""

    def wait(self) -> None:
        pass

    def in_first(self, work: Callable[[], Any]) -> Any:
        return work()


def test_processes_that_replace_files_have_names_of_their_own(
    run: Run, request_words: list[object], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "stable_audio_open.jobs.sounds.run.joined_processes", lambda: nullcontext(Alone(total=2))
    )
    write("prompt,name,seed\nkick,{prompt},1\nkick,,1\nkick,{index}_{prompt},1\nkick,,1\n")
    words = [*request_words, "--device", "cpu"]
    result = run(*words, "--overwrite")
    assert result.stderr == (
        "WARNING: t.csv:2: name '{prompt}': several processes replace files of one folder; begin "
        "it with {index} and a character that is no digit, such as {index}_{prompt}\n"
    )
    assert sorted(sounds()) == ["2_kick.wav"]
    run(*words)
    assert "kick.wav" in sounds()


@pytest.mark.slow
def test_torchrun_shares_the_rows(
    run: Run, request_words: list[object], tiny_model_folder: Path, tmp_path: Path
):
    write("prompt\nkick\nbell\nsnare\nhat\ntom\n")
    run(*request_words, "--seed", 1)
    alone = sounds()
    Path("sounds").rename("alone")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    words = [str(word) for word in request_words]
    done = subprocess.run(
        [*command, "2", "-m", "stable_audio_open.cli.main", *words, "--seed", "1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "sounds: 5 rows made, 0 were there, 0 failed" in done.stdout
    assert sorted(sounds()) == sorted(alone)
    assert [line["row"] for line in results()] == [0, 1, 2, 3, 4]
    assert sorted(path.name for path in Path("sounds").iterdir() if path.suffix != ".wav") == [
        "results.jsonl"
    ]
    assert "sounds: 0 rows made, 5 were there" in run(*request_words, "--seed", 1).stdout
