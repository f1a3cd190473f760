"""Sounds of made-up packages, from their names and licences to two manifests that share nothing."""

import base64
import csv
import hashlib
import importlib
import io
import math
import re
import tarfile
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.files import audio_info
from stable_audio_open.data.manifest import read_manifest

SCRIPTS = Path(__file__).parents[2] / "scripts"
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Source: https://example.org/space

Files: *
Copyright: 2010 Ada
License: CC0-1.0

Files: sounds/rain.wav
Copyright: 2012 Bo
License: CC-BY-3.0

Files: sounds/stolen.wav
Copyright: 2011 Cem
License: GPL-3+
"""
TABLE = """\
pattern,family,sound,words,also,asked
*/music/*,-,music,,,
*/explosion <size>,explosion,an explosion,<size>,<size> blast;explosion,something blowing up
*/kick<n>,kick,a kick drum,<n>;deep,,a low thump
*/tune,-,music,,,
*/rain,water,rain,,rain falling,a wet day
*/<kind>_clip,beep,a beep,<kind>,,a signal
"""
RATE = 8000


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def noise(number: int, seconds: float = 0.2) -> np.ndarray:
    """Noise of a colour of its own, so that no two are alike."""
    random = np.random.default_rng(number)
    angles = 2 * np.pi * np.outer(random.uniform(100, 3900, 12), np.arange(seconds * RATE) / RATE)
    found: np.ndarray = 0.05 * np.sin(angles).sum(axis=0)
    return found


def save(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """`space-data`, unpacked: 30 kicks, a copy of one, and what the table and licences are for."""
    root = tmp_path / "set" / "sources" / "space-data"
    documents = root / "usr/share/doc/space-data"
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(COPYRIGHT)
    sounds = root / "usr/share/games/space/sounds"
    for number in range(30):
        save(sounds / f"kick{number}.wav", noise(number))
    save(sounds / "again/kick3.wav", noise(3))
    save(sounds / "explosion huge.wav", noise(40))
    save(sounds / "music/theme.wav", noise(41))
    save(sounds / "rain.wav", noise(42, 13.0))
    save(sounds / "stolen.wav", noise(43))
    save(sounds / "unknown.wav", noise(44))
    return tmp_path / "set"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text(TABLE)
    return tmp_path / "table.csv"


def archive(path: Path, *names: str) -> str:
    """Write a package of npm, and return what the registry says of it."""
    with tarfile.open(path, "w:gz") as tar:
        listed = "* `:ambi_rain` - http://freesound.org/people/dee%20dee/sounds/12/\n"
        listed += "* `tune`  - Donated by Eve under a CC0 license\n"
        contents = {"PROVENANCE.md": listed.encode(), "index.js": b"//"}
        for number, name in enumerate(names, start=60):
            flac = io.BytesIO()
            soundfile.write(flac, noise(number), RATE, format="FLAC")
            contents[f"samples/{name}.flac"] = flac.getvalue()
        for name, content in contents.items():
            header = tarfile.TarInfo(f"package/{name}")
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def test_names_become_captions(table: Path) -> None:
    rules = module("bundled.rules")
    read = rules.read_rules(table)
    huge = rules.describe("a/b/explosion huge.wav", read)
    assert huge.captions == (
        "a huge explosion",
        "explosion, huge",
        "huge explosion",
        "huge blast",
        "explosion",
    )
    assert (huge.rule.family, huge.tags) == ("explosion", ("explosion", "huge"))
    assert huge.asked == "something blowing up"
    # The number of a take says nothing; other placeholders are spelled out.
    assert rules.describe("b/kick12.wav", read).captions[0] == "a deep kick drum"
    assert rules.describe("b/hi_clip.ogg", read).captions[0] == "a high beep"
    assert rules.describe("b/rain.wav", read).captions == ("rain", "rain falling")
    assert rules.describe("b/music/rain.wav", read).rule.sound == "music"  # the first row counts
    assert rules.describe("b/other.wav", read) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pattern,family\n", "the columns are pattern, family; pattern, family, sound"),
        (f"{TABLE}*/x,x,x\n", r":8: 3 cells; give 6"),
        (f"{TABLE}*/x,x,a sound,,,\n", ":8: a cell is empty; give pattern, family, sound and"),
        (f"{TABLE}*/x,x,a sound,<size>,,y\n", ":8: <size> is not in the pattern"),
        (f"{TABLE}*/<a><a>,x,a sound,,,y\n", ":8: .* has a placeholder twice"),
    ],
)
def test_a_wrong_table_is_told_with_its_line(table: Path, text: str, message: str) -> None:
    table.write_text(text)
    with pytest.raises(ValueError, match=rf"^\S*table.csv:? ?.*{message}") as caught:
        module("bundled.rules").read_rules(table)
    assert "\n" not in str(caught.value)


def test_a_family_has_captions_of_its_own(table: Path) -> None:
    rules = module("bundled.rules")
    families = table.with_name("families.csv")
    families.write_text("family,also\nwater,a stream;something wet\n")
    rain = rules.describe("b/rain.wav", rules.read_rules(table))
    assert rain.captions == ("rain", "rain falling", "a stream", "something wet")
    families.write_text("family,also\nwatter,a stream\n")
    with pytest.raises(ValueError, match=r"families.csv: table.csv has no family 'watter'"):
        rules.read_rules(table)


def test_the_shipped_table_asks_in_other_words() -> None:
    """What was asked for is not what was trained on; what is left out has a reason."""
    rules = module("bundled.rules")
    taken = [one for one in rules.read_rules() if one.family != "-"]
    assert len({one.family for one in taken}) > 30
    captions = {text.lower() for one in taken for text in (one.sound, *one.also)}
    learnt = {word for text in captions for word in re.findall(r"[a-z]+", text)}
    learnt |= {word for one in taken for text in one.words for word in re.findall("[a-z]+", text)}
    known = total = 0
    for one in taken:
        noun = re.sub(r"^an? ", "", one.sound)
        words = set(re.findall(r"[a-z]+", one.asked.lower()))
        assert not set(re.findall(r"[a-z]+", noun.lower())) <= words, one.where
        assert one.asked.lower() not in captions, one.where
        known, total = known + len(words & learnt), total + len(words)
    # A text encoder that learns from captions alone knows the words, not the sentences.
    assert known > 0.9 * total


def test_a_tenth_of_each_family_is_held_out_with_all_that_is_alike() -> None:
    split = module("bundled.split")
    families = {f"a{n}": "a" for n in range(30)} | {f"b{n}": "b" for n in range(5)} | {"c0": "c"}
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in families}
    pairs = [(f"a{n}", f"a{n + 1}") for n in range(0, 30, 3)]
    held = split.held_out(families, hashes, pairs)
    assert 3 <= sum(families[name] == "a" for name in held) <= 5
    assert sum(families[name] == "b" for name in held) == 1
    assert "c0" not in held
    assert all((one in held) == (other in held) for one, other in pairs)
    # By the sounds alone: neither order nor names decide.
    renamed = {f"x{name}": family for name, family in reversed(families.items())}
    again = split.held_out(
        renamed,
        {f"x{name}": value for name, value in hashes.items()},
        [(f"x{other}", f"x{one}") for one, other in pairs],
    )
    assert again == {f"x{name}" for name in held}


def test_what_comes_from_one_page_stays_together() -> None:
    pages = {"a": "p", "b": "p", "c": "q", "d": None} | {f"e{n}": "r" for n in range(6)}
    assert module("bundled.split").of_one_page(pages) == [["a", "b"]]


def test_the_package_of_npm_is_checked_and_says_who_made_what(tmp_path: Path) -> None:
    npm = module("bundled.npm")
    said = archive(tmp_path / "a.tgz", "ambi_rain", "tune", "nobody")
    address = (tmp_path / "a.tgz").as_uri()
    with pytest.raises(ValueError, match=r"its SHA-512 is .*, not AAAA; fetch it again"):
        npm.fetch(tmp_path / "sources", address, "AAAA")
    npm.fetch(tmp_path / "sources", address, said)
    nobody, rain, tune = sorted(
        npm.read_npm(tmp_path / "sources"), key=lambda row: str(row.raw)[-9:]
    )
    assert nobody.reason == "PROVENANCE.md does not say where it comes from"
    assert (rain.record.author, rain.record.page_url) == (
        "dee dee",
        "http://freesound.org/people/dee%20dee/sounds/12/",
    )
    assert (tune.record.author, tune.record.licence) == ("Eve", npm.CC0)
    assert not list((tmp_path / "sources").rglob("*.js"))


def test_offsets_and_infrasound_are_taken_away() -> None:
    without = module("bundled.output").without_offset
    time = torch.arange(2 * 44100, dtype=torch.float64) / 44100
    tone = 0.3 * torch.sin(2 * math.pi * 440 * time)
    swing = 0.3 + 0.2 * torch.sin(2 * math.pi * 0.5 * time)
    found = without(torch.stack([tone + swing, tone]))
    # Once the filters have settled, the tone is left.
    late = slice(22050, None)
    assert (found[0, late] - found[1, late]).abs().max() < 0.005
    assert (found[1, late].square().mean() / tone[late].square().mean()).item() == pytest.approx(
        1.0, abs=0.01
    )
    # The closed form at one frequency: |H| = f^2 / (f^2 + 10^2).
    low = torch.sin(2 * math.pi * 20 * time)
    gain = without(low[None])[0, late].square().mean().sqrt() / low[late].square().mean().sqrt()
    assert gain.item() == pytest.approx(20**2 / (20**2 + 10**2), rel=1e-3)
    assert without(torch.zeros(1, 5)).tolist() == [[0.0] * 5]
    click = torch.zeros(1, 1000)
    click[0, 500] = 1.0
    assert without(click)[0, :500].abs().max() < 1e-6


@pytest.mark.slow
def test_from_packages_to_a_set(
    package: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = module("prepare_bundled")
    arguments = ["--output", str(package), "--packages", "space-data", "--captions", str(table)]
    assert script.main(arguments) == 0
    told = capsys.readouterr().out
    train, held = read_manifest(package, "train.jsonl"), read_manifest(package, "held_out.jsonl")
    assert (len(train), len(held)) == (29, 3)
    assert {one.family for one in held} == {"kick"}
    known = {one.title: one for one in [*train, *held]}
    assert known["explosion huge"].all_captions[:2] == ("a huge explosion", "explosion, huge")
    rain = known["rain"]
    assert (rain.author, rain.licence) == ("Bo", "https://creativecommons.org/licenses/by/3.0/")
    for one in known.values():
        info = audio_info(package / one.file)
        assert (info.sample_rate, info.channels) == (44100, 2)
        assert info.duration == pytest.approx(12.0 if one is rain else 0.2, rel=1e-3)
    for reason in (
        "space-data, 1: exact copy: kick3.wav",
        "space-data, 1: music: theme.wav",
        "space-data, 1: no row of the table is about it: unknown.wav",
        "space-data, 1: the licence 'GPL-3+' is not known; accepted are CC0, CC-BY, CC Sampling+: "
        "stolen.wav",
        "| space-data | 32 | 18 | 3 | 4 |",
        "| CC-BY 3.0 | 1 | 12 | 0 |",
    ):
        assert reason in told
    with (package / "attributions.csv").open(newline="") as file:
        [row] = [row for row in csv.DictReader(file) if row["title"] == "rain"]
    assert (row["author"], row["licence"]) == ("Bo", "CC-BY 3.0")
    assert row["source_url"] == "https://example.org/space"
    assert row["changes"].startswith(
        "as FLAC or Ogg Vorbis with 44100 Hz and 2 channels, without what lies below 10 Hz"
    )
    with (package / "prompts.csv").open(newline="") as file:
        prompts = list(csv.DictReader(file))
    assert prompts[0] == {
        "prompt": "something blowing up",
        "duration": "0.5",
        "name": "explosion_01",
    }
    # Once more: the same files, byte for byte.
    before = {path: path.read_bytes() for path in package.glob("*.jsonl")}
    assert script.main(arguments) == 0
    assert {path: path.read_bytes() for path in package.glob("*.jsonl")} == before


@pytest.mark.slow
def test_a_small_set_has_losses_in_what_is_trained_on_alone(package: Path, table: Path) -> None:
    script = module("prepare_bundled")
    arguments = ["--output", str(package), "--packages", "space-data", "--captions", str(table)]
    assert script.main(arguments) == 0
    plain = [read_manifest(package, name) for name in ("train.jsonl", "held_out.jsonl")]
    assert script.main([*arguments, "--small"]) == 0
    small = [read_manifest(package, name) for name in ("train.jsonl", "held_out.jsonl")]
    assert small[1] == plain[1]
    assert len(small[0]) == len(plain[0])
    for one, other in zip(small[0], plain[0], strict=True):
        assert Path(one.file).suffix == ".ogg"
        assert one == msgspec.structs.replace(other, file=one.file)
        # Audio is made anew, so that no file of the set before is left.
        assert not (package / other.file).exists()
        assert audio_info(package / one.file).duration == pytest.approx(
            12.0 if one.title == "rain" else 0.2, rel=1e-3
        )


def test_a_package_that_cannot_be_had_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = module("prepare_bundled")
    assert script.main(["--output", str(tmp_path), "--packages", "No Name"]) == 1
    assert capsys.readouterr().err.startswith("error: 'No Name' is no name of a Debian package")
