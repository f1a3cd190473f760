import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

from stable_audio_open.curation.catalogue.decisions import Decision, final_decisions, read_decisions
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Recordings that are loud for so many seconds, a damaged one, and one without a file."""
    (tmp_path / "sounds").mkdir()
    noise = 0.3 * np.random.default_rng(0).standard_normal(8 * 16000)
    for name, loud in {"long": 8, "half": 4, "silent": 0}.items():
        audio = noise * (np.arange(len(noise)) < loud * 16000)
        soundfile.write(tmp_path / "sounds" / f"{name}.wav", audio, 16000)
    (tmp_path / "sounds" / "text.wav").write_text("this is not a recording")
    names = ("text", "long", "half", "silent")
    records = [
        CatalogueRecord(id=f"folder:{n}", file=f"{n}.wav", title=n, artist="The Someone")
        for n in names
    ]
    folder = tmp_path / "catalogue"
    write_catalogue(folder, [*records, CatalogueRecord(id="folder:none")])
    return folder


def verdicts(catalogue: Path, stage: str) -> dict[str, str]:
    return {d.id: d.verdict for d in read_decisions(catalogue) if d.stage == stage}


def test_music_goes_to_review_and_a_second_run_goes_on(
    run: Run, catalogue: Path, loudness_panns: Path
) -> None:
    command = ["curate", "music", catalogue, "--audio", "sounds"]
    command += ["--tagger", f"panns:{loudness_panns}", "--seconds", 6]
    first = run(*command)
    assert first.returncode == 0
    assert first.stdout == (
        f"{catalogue}: 1 to review, 2 below the threshold, 0 decided before, 0 dropped before, "
        "1 without a file, 1 unusable\n"
    )
    assert first.stderr.startswith(
        "WARNING: recording left out: sounds/text.wav: not a readable audio file"
    )
    assert verdicts(catalogue, "music") == {
        "folder:long": "review",
        "folder:half": "keep",
        "folder:silent": "keep",
    }
    again = run(*command)
    assert "0 to review, 0 below the threshold, 3 decided before" in again.stdout
    assert len(read_decisions(catalogue)) == 3
    other = run(*command, "--counting", "contiguous", "--threshold", 0.2, "--classes", "Singing")
    assert "0 to review, 3 below the threshold, 0 decided before" in other.stdout
    assert read_decisions(catalogue)[-1].by.endswith(
        ", threshold 0.2, 6 s contiguous, classes: Singing"
    )


def test_calibration_prints_what_the_gate_then_does(
    run: Run, catalogue: Path, loudness_panns: Path
) -> None:
    Path("labels.csv").write_text("file,label\nlong.wav,1\nhalf.wav,1\nsilent.wav,0\n")
    tagger = ["--audio", "sounds", "--tagger", f"panns:{loudness_panns}", "--seconds", 3]
    result = run("curate", "calibrate-music", "labels.csv", *tagger)
    assert result.returncode == 0
    *rows, last = result.stdout.splitlines()
    (chosen,) = [row for row in rows if row.endswith("<- highest that misses none")]
    assert chosen.split()[1:7] == ["0", "of", "2", "0", "of", "1"]
    threshold = last.removeprefix("use --threshold ")
    assert chosen.split()[0] == threshold
    run("curate", "music", catalogue, *tagger, "--threshold", threshold)
    found = verdicts(catalogue, "music")
    assert [found[f"folder:{name}"] for name in ("long", "half", "silent")] == [
        "review",
        "review",
        "keep",
    ]


def test_a_labelled_file_that_is_damaged_stops_the_calibration(
    run: Run, catalogue: Path, loudness_panns: Path
) -> None:
    Path("labels.csv").write_text("file,label\nlong.wav,1\ntext.wav,0\n")
    result = run(
        *("curate", "calibrate-music", "labels.csv", "--audio", "sounds"),
        *("--tagger", f"panns:{loudness_panns}", "--seconds", 3),
    )
    assert result.returncode == 1
    assert "sounds/text.wav: not a readable audio file" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tagger", "yamnet"], "no tagger 'yamnet'; allowed: panns:PATH, musicnn, musicnn:WEI"),
        (["--tagger", "panns:"], "no tagger 'panns:'; allowed: panns:PATH"),
        (["--tagger", "panns:none.pth"], "none.pth: no such file; download Cnn14_DecisionLevelMax"),
        (["--tagger", "musicnn:vgg"], "musicnn has no weights 'vgg'; allowed: MTT_musicnn, MSD_"),
        (["--tagger", "musicnn", "--threshold", "2"], "threshold must be above 0 and at most 1"),
    ],
)
def test_wrong_options(run: Run, catalogue: Path, options: list[str], message: str) -> None:
    result = run("curate", "music", catalogue, "--audio", "sounds", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert read_decisions(catalogue) == []


def test_a_class_that_the_tagger_has_not(run: Run, catalogue: Path, loudness_panns: Path) -> None:
    options = ["--audio", "sounds", "--tagger", f"panns:{loudness_panns}", "--classes", "music"]
    result = run("curate", "music", catalogue, *options)
    assert result.returncode == 2
    assert 'the tagger has no class "music"; did you mean "Music"' in result.stderr


def test_search(run: Run, catalogue: Path) -> None:
    Path("known.csv").write_text("artist,title\nsomeone,LONG (Live)\nSomeone Else,half\n")
    result = run("curate", "search", catalogue, "--against", "known.csv")
    assert result.stdout == (
        f"{catalogue}: 1 of 5 to review, 0 found before, 1 without artist or title\n"
    )
    (found,) = read_decisions(catalogue)
    assert (found.id, found.verdict, found.stage) == ("folder:long", "review", "search")
    assert found.reason == (
        "artist 'The Someone' ~ 'someone' 100, title 'long' ~ 'LONG (Live)' 100"
    )
    again = run("curate", "search", catalogue, "--against", "known.csv")
    assert "0 of 5 to review, 1 found before" in again.stdout
    assert len(read_decisions(catalogue)) == 1


def test_search_without_a_list(refuse: Refuse, catalogue: Path) -> None:
    refuse(
        *("curate", "search", catalogue, "--against", "none.csv"),
        code=1,
        message="none.csv: No such file or directory",
    )


def test_the_review_loop(run: Run, catalogue: Path) -> None:
    Path("known.csv").write_text("artist,title\nsomeone,long\nsomeone,half\nsomeone,silent\n")
    run("curate", "search", catalogue, "--against", "known.csv")
    result = run("curate", "review", catalogue, "--output", "out/review", "--audio", "sounds")
    assert result.returncode == 0
    assert result.stdout.startswith("out/review: 3 recordings wait")
    page = Path("out/review/review.html").read_text()
    assert 'src="../../sounds/long.wav"' in page

    table = Path("out/review/review.csv")
    text = table.read_text(encoding="utf-8-sig")
    assert text.count("\n") == 4
    filled = text.replace("folder:long,,", "folder:long,drop,a hit")
    filled = filled.replace("folder:half,,", "folder:half,keep,")
    Path("filled.csv").write_text(filled)
    result = run("curate", "review", catalogue, "--import", "filled.csv", "--by", "Ana")
    assert result.stdout == f"{catalogue}: 1 kept, 1 dropped, 1 left open, 0 known before\n"
    held = final_decisions(read_decisions(catalogue))
    assert {key: decision.verdict for key, decision in held.items()} == {
        "folder:long": "drop",
        "folder:half": "keep",
        "folder:silent": "review",
    }
    dropped = held["folder:long"]
    assert (dropped.by, dropped.reason, dropped.stage) == ("Ana", "a hit", "review")
    assert dropped.at.endswith("+00:00")

    refused = run("curate", "review", catalogue, "--output", "out/review")
    assert "out/review/review.csv: is there already and may be filled in" in refused.stderr
    rest = run("curate", "review", catalogue, "--output", "rest")
    assert rest.stdout.startswith("rest: 1 recordings wait")


def test_a_wrong_line_imports_nothing(refuse: Refuse, catalogue: Path) -> None:
    Path("filled.csv").write_text("id,verdict,note\nfolder:long,drop,x\nfolder:half,maybe,x\n")
    refuse(
        *("curate", "review", catalogue, "--import", "filled.csv", "--by", "Ana"),
        code=2,
        message="filled.csv: nothing is taken over: line 3: verdict 'maybe'; allowed: keep, drop "
        "or nothing",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give either --output or --import"),
        (["--output", "a", "--import", "b", "--by", "c"], "give either --output or --import"),
        (["--import", "b"], "--import and --by go together: who decided?"),
    ],
)
def test_wrong_use_of_review(
    refuse: Refuse, catalogue: Path, options: list[str], message: str
) -> None:
    refuse("curate", "review", catalogue, *options, code=2, message=message)


def test_decisions_are_lines_of_json(run: Run, catalogue: Path, loudness_panns: Path) -> None:
    tagger = ["--audio", "sounds", "--tagger", f"panns:{loudness_panns}", "--seconds", 6]
    run("curate", "music", catalogue, *tagger)
    lines = (catalogue / "decisions.jsonl").read_text().splitlines()
    assert [set(json.loads(line)) for line in lines] == [set(Decision.__struct_fields__)] * 3
