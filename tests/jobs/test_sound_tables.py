"""Tables of sounds: what columns there are, and how cells are read."""

import json
from inspect import signature
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.jobs.sounds.columns import columns, settings_of, with_defaults
from stable_audio_open.jobs.sounds.results import (
    Result,
    append_result,
    done_rows,
    gather_results,
    part_of,
    read_results,
    settings_hash,
)
from stable_audio_open.jobs.sounds.table import read_table
from stable_audio_open.pretrained import StableAudio


def table(folder: Path, text: str, name: str = "t.csv") -> list[tuple[int, dict[str, Any], str]]:
    (folder / name).write_text(text)
    return [(row.line, dict(row.values), row.fault) for row in read_table(folder / name)]


def test_every_setting_is_a_column() -> None:
    _model, *arguments = signature(StableAudio.generate).parameters
    steps = [field.name for field in msgspec.structs.fields(Finishing)]
    assert set(columns()) == {*arguments, *steps, "subtype", "name", "variations"} - {
        "progress",
        "callback",
        "adapters",  # which hold for all rows
    }
    assert len(columns()) == len(set(columns()))


def test_cells_of_csv(tmp_path: Path) -> None:
    rows = table(
        tmp_path,
        "prompt,duration,trim,guidance_interval,seed,negative_prompt,init_audio\n"
        '"kick, dry",2.5,false,"[0, inf]",7,,\n'
        "\n"
        "808,,TRUE,,,'=1+1,a.wav\n",
    )
    assert rows[0][2].startswith("guidance_interval is '[0, inf]', which is no number")
    assert rows[1] == (
        4,
        {"prompt": "808", "trim": True, "negative_prompt": "=1+1", "init_audio": "a.wav"},
        "",
    )
    ((_, values, fault),) = table(tmp_path, 'prompt,guidance_interval,sigma_max\nx,"[0, 5]",inf\n')
    assert (fault, values) == (
        "",
        {"prompt": "x", "guidance_interval": [0, 5], "sigma_max": float("inf")},
    )


def test_numbers_as_other_programs_write_them(tmp_path: Path) -> None:
    """Columns of integers with gaps are written as floats by pandas."""
    ((_, values, fault),) = table(
        tmp_path,
        "prompt,seed,steps,variations,channels,sample_rate,samples,duration,peak,guidance_scale,"
        "sigma_max\n"
        "808.0,7.0,5e1,2.0,01,48000.0,+9,.3,-1.0,07.50,1e2\n",
    )
    assert fault == ""
    assert values == {
        "prompt": "808.0", "seed": 7, "steps": 50, "variations": 2, "channels": 1,
        "sample_rate": 48000, "samples": 9, "duration": 0.3, "peak": -1.0,
        "guidance_scale": 7.5, "sigma_max": 100.0,
    }  # fmt: skip
    integers = {name for name, value in values.items() if type(value) is int}
    assert integers == {"seed", "steps", "variations", "channels", "sample_rate", "samples"}
    for wrong in ("0x1", "1,5", "7s", "1..2", ".", "1e"):
        ((_, _, fault),) = table(tmp_path, f'prompt,seed\nkick,"{wrong}"\n')
        assert fault == f"seed is {wrong!r}, which is no number, list, true or false"
    ((_, values, _),) = table(tmp_path, "prompt,seed\nkick,7.5\n")
    assert values["seed"] == 7.5  # which is refused as no integer


def test_lines_of_json(tmp_path: Path) -> None:
    text = '{"prompt": "kick", "seed": 7, "peak": null}\n\n{"prompt": \n["kick"]\n'
    rows = table(tmp_path, text, "t.jsonl")
    assert rows[0] == (1, {"prompt": "kick", "seed": 7}, "")
    assert [(line, fault[:18]) for line, _, fault in rows[1:]] == [
        (3, "is no JSON object "),
        (4, "is no JSON object "),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "prompt,seed\na,1\n\nb,x\n,\nc,3\n"),
        ("t.jsonl", '{"prompt": "a"}\n\n{"prompt": }\n \n{"prompt": "c"}\n'),
    ],
)
def test_rows_are_counted_from_0_and_lines_from_1(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    rows = read_table(tmp_path / name)
    lines = [2, 4, 6] if name == "t.csv" else [1, 3, 5]
    assert [(row.index, row.line, bool(row.fault)) for row in rows] == [
        (0, lines[0], False), (1, lines[1], True), (2, lines[2], False),
    ]  # fmt: skip


def test_the_first_fault_of_a_row_is_told(tmp_path: Path) -> None:
    ((_, _, fault),) = table(tmp_path, "prompt,seed,steps\nkick,x,y\n")
    assert fault == "seed is 'x', which is no number, list, true or false"
    ((_, _, fault),) = table(tmp_path, "prompt,seed,steps\nkick,x\n")
    assert fault == "has 2 cells, the head has 3"


def test_lists_stand_in_columns_of_text(tmp_path: Path) -> None:
    rows = table(
        tmp_path,
        'prompt,negative_prompt\n"[[""rain"", 0.7], [""fire"", 0.3]]",[rain\n"{""a"": 1}",true\n',
    )
    assert [values for _, values, _ in rows] == [
        {"prompt": [["rain", 0.7], ["fire", 0.3]], "negative_prompt": "[rain"},
        {"prompt": {"a": 1}, "negative_prompt": "true"},
    ]


def test_bytes_that_are_no_text_are_a_fault_of_their_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"prompt": "a"}\n{"prompt": "\xff"}\n')
    good, bad = read_table(tmp_path / "t.jsonl")
    assert good.fault == ""
    assert "UTF-8" in bad.fault


def test_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfprompt\nTrommel gr\xc3\xb6\xc3\x9fer\n")
    assert read_table(tmp_path / "t.csv")[0].values == {"prompt": "Trommel größer"}


def test_cells_that_do_not_fit_are_faults_of_their_row(tmp_path: Path) -> None:
    rows = table(tmp_path, "prompt,steps\nkick,3\nsnare,many\nbell\n")
    assert [fault for _, _, fault in rows] == [
        "",
        "steps is 'many', which is no number, list, true or false",
        "has 1 cells, the head has 2",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "prompt,stesp\nx,3\n", "t.csv: unknown column 'stesp'; did you mean \"steps\"?"),
        ("t.csv", "prompt,zzzz\nx,3\n", "t.csv: unknown column 'zzzz'; allowed: prompt, duration"),
        ("t.csv", "prompt,,seed\nx,3,1\n", "t.csv: column 2 has no name; give it one, or leave it"),
        (
            "t.csv",
            "prompt;seed\nx;3\n",
            "t.csv: column 'prompt;seed': columns are separated by "
            "commas, not by ';'; save the table so",
        ),
        ("t.csv", "prompt\tseed\nx\t3\n", r"t.csv: column 'prompt\\tseed': .* not by '\\t'"),
        ("t.csv", "prompt,prompt\nx,3\n", "t.csv: column 'prompt' stands twice; leave one out"),
        ("t.csv", "prompt,dtype\nx,y\n", "t.csv: column 'dtype': one model makes all .* --dtype"),
        ("t.csv", "prompt\n", "t.csv: holds no row; give a column prompt and a row for each"),
        ("t.csv", "", "t.csv: holds no row"),
        ("t.csv", 'prompt\n"x\n', "t.csv: not a CSV file"),
        ("t.jsonl", '{"prompt":"x"}\n{"promt":"x"}', "t.jsonl:2: unknown column 'promt'; did you"),
        ("t.txt", "prompt\nx", "t.txt: unknown suffix '.txt'; give a .csv or .jsonl file"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"^.*{message}"):
        read_table(tmp_path / name)


def test_settings_are_sorted_by_what_they_are_for() -> None:
    settings = settings_of(
        {"prompt": "x", "steps": 3, "peak": -1, "subtype": "pcm16", "name": "{seed}.flac",
         "variations": 2},
    )  # fmt: skip
    assert settings.generate == {"prompt": "x", "steps": 3}
    assert settings.finishing == Finishing(peak=-1)
    assert (settings.subtype, settings.variations, settings.pattern.suffix) == ("pcm16", 2, ".flac")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({}, ValueError, "prompt is missing; describe the sound in a few words"),
        ({"peak": 3.0}, ValueError, "peak must be -200 to 0 decibels of full scale, got 3.0"),
        ({"peak": "loud"}, TypeError, "peak: Expected `float | null`, got `str`"),
        ({"channels": 1.5}, TypeError, "channels: Expected `int | null`, got `float`"),
        ({"subtype": "pcm8"}, TypeError, "subtype: Invalid enum value 'pcm8'"),
        ({"name": "{x}"}, ValueError, "name '{x}': unknown field {x}"),
        ({"name": 7}, TypeError, "name: Expected `str | null`, got `int`"),
        ({"name": "a.mp3", "subtype": "float"}, ValueError, "sound.mp3: .mp3 files cannot hold fl"),
        ({"variations": 0}, ValueError, "variations must be 1 to 10000, got 0"),
        ({"variations": "2"}, TypeError, "variations must be an integer, got '2'"),
    ],
)
def test_settings_that_cannot_be(
    values: dict[str, Any], error: type[Exception], message: str
) -> None:
    prompt = {"prompt": "x"} if values else {}
    with pytest.raises(error, match=f"^{message}"):
        settings_of({**prompt, **values})


@pytest.mark.parametrize(
    ("row", "defaults", "expected"),
    [
        ({"samples": 5}, {"duration": 2, "seed": 1}, {"samples": 5, "seed": 1}),
        ({"duration": 1}, {"bars": 4, "bpm": 120, "loop": True}, {"duration": 1, "loop": True}),
        ({"bars": 2}, {"bars": 4, "bpm": 120}, {"bars": 2, "bpm": 120}),
        ({"bars": 2, "bpm": 90}, {"samples": 9}, {"bars": 2, "bpm": 90}),
        ({"peak": -1}, {"loudness": -16, "fade": 0.1}, {"peak": -1, "fade": 0.1}),
        ({}, {"loudness": -16}, {"loudness": -16}),
        ({}, {"init_strength": 0.3}, {}),
        ({"init_audio": "a.wav"}, {"init_strength": 0.3}, {"init_audio": "a.wav",
                                                           "init_strength": 0.3}),
        ({"init_noise_level": 3}, {"init_strength": 0.3, "init_audio": "a.wav"},
         {"init_noise_level": 3, "init_audio": "a.wav"}),
        ({"init_strength": 0.3}, {}, {"init_strength": 0.3}),
    ],
)  # fmt: skip
def test_a_row_has_its_own_in_the_place_of_an_option(
    row: dict[str, Any], defaults: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert with_defaults(row, defaults) == expected


def result(row: int, settings: str, *files: str, status: str = "done") -> Result:
    return msgspec.convert(
        {"row": row, "line": row + 2, "status": status, "settings": settings, "files": files},
        Result,
    )


def test_rows_are_found_by_their_settings_and_files(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).write_bytes(b"")
    results = [
        result(0, "one", "a.wav"),
        result(1, "two", "gone.wav"),
        result(2, "three", status="failed"),
        result(3, "one", "b.wav"),
        result(4, "four", "c.wav", "gone.wav"),
    ]
    # Rows have moved: one is gone, one stands twice.
    found = done_rows(["two", "one", "three", "one", "one", "four", ""], results, tmp_path)
    assert {index: line.files for index, line in found.items()} == {
        1: ("a.wav",),
        3: ("b.wav",),
    }


def test_a_row_keeps_the_result_of_its_place(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"")
    results = [result(0, "one", "a.wav"), result(7, "one", "b.wav")]
    assert done_rows(["one"], results, tmp_path)[0].files == ("a.wav",)
    assert done_rows(["one"], results[::-1], tmp_path)[0].files == ("a.wav",)


@pytest.mark.parametrize(
    ("lines", "file"),
    [
        (["a.wav", "failed"], "a.wav"),
        (["failed", "a.wav"], "a.wav"),
        (["a.wav", "b.wav"], "b.wav"),
        (["a.wav", "gone.wav"], "a.wav"),
        (["gone.wav", "a.wav"], "a.wav"),
        (["gone.wav", "failed"], None),
        (["a.wav", "failed", "gone.wav"], "a.wav"),
    ],
)
def test_the_last_line_that_is_done_counts(
    tmp_path: Path, lines: list[str], file: str | None
) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"")
    results = [
        result(0, "one", status="failed") if line == "failed" else result(0, "one", line)
        for line in lines
    ]
    found = done_rows(["one"], results, tmp_path)
    assert [one.files for one in found.values()] == ([(file,)] if file else [])


def test_a_failure_is_forgotten_when_there_is_a_newer_one(tmp_path: Path) -> None:
    for error in ("first", "second"):
        line = {"row": 0, "line": 2, "status": "failed", "settings": "one", "error": error}
        append_result(part_of(tmp_path, 0), msgspec.convert(line, Result))
    gather_results(tmp_path, [("one", 2)])
    assert [line.error for line in read_results(tmp_path)] == ["second"]


def test_a_file_belongs_to_the_last_that_made_it(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"")
    failed = {**msgspec.to_builtins(result(3, "x", "b.wav")), "status": "failed"}
    for line in (
        result(0, "one", "a.wav", "b.wav"),
        result(1, "two", "b.wav"),
        msgspec.convert(failed, Result),
        result(2, "one", "a.wav"),
    ):
        append_result(part_of(tmp_path, 0), line)
    assert [line.row for line in read_results(tmp_path)] == [1, 2]


def test_each_process_has_a_list_of_its_own(tmp_path: Path) -> None:
    names = [part_of(tmp_path, rank).name for rank in range(3)]
    assert names == ["results.jsonl", "results.1.jsonl", "results.2.jsonl"]


def test_settings_are_hashed_whatever_their_order() -> None:
    digest = settings_hash({"prompt": "x", "steps": 3}, {"weights": "w"})
    assert digest == settings_hash({"steps": 3, "prompt": "x"}, {"weights": "w"})
    assert len(digest) == 16
    others = [({"prompt": "x", "steps": 4}, {"weights": "w"}), ({"prompt": "x"}, {"weights": "w"}),
              ({"prompt": "x", "steps": 3}, {"weights": "v"})]  # fmt: skip
    assert digest not in {settings_hash(*one) for one in others}


def test_results_of_all_processes_become_one_file(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav", "old.wav"):
        (tmp_path / name).write_bytes(b"")
    append_result(part_of(tmp_path, 0), result(7, "earlier", "old.wav"))
    append_result(part_of(tmp_path, 0), result(8, "earlier", "gone.wav"))
    append_result(part_of(tmp_path, 0), result(0, "one", status="failed"))
    append_result(part_of(tmp_path, 2), result(2, "three", "b.wav"))
    append_result(part_of(tmp_path, 1), result(1, "", status="failed"))
    append_result(part_of(tmp_path, 1), result(0, "one", "a.wav"))
    part = part_of(tmp_path, 2)
    part.write_bytes(part.read_bytes() + b'{"row": 9, ')  # killed while it wrote
    append_result(part_of(tmp_path, 1), result(9, "moved", "c.wav"))
    gather_results(tmp_path, [("one", 2), ("", 3), ("three", 4), ("moved", 5)])
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["results.jsonl"]
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(line["row"], line["line"], line["status"]) for line in lines] == [
        (0, 2, "done"),
        (1, 3, "failed"),
        (2, 4, "done"),
        (3, 5, "done"),
        (7, 9, "done"),
    ]
    assert [line.row for line in read_results(tmp_path)] == [0, 1, 2, 3, 7]


def test_results_of_somebody_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text('{"score": 1}\n')
    with pytest.raises(ValueError, match=r"results.jsonl:1: not a result .*; move the file away"):
        read_results(tmp_path)
