import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
import torch

from stable_audio_open.data.manifest import Recording, read_manifest

ROOT = Path(__file__).parents[2]
README = """# Samples

* `:bd_haus` - http://freesound.org/people/Rodrigo%20The%20Mad/sounds/137722/
* `:perc_bell_2`- https://freesound.org/people/hullum/sounds/415559/
* `:tabla_re` - http://freesound.org/people/dio_333/sounds/130427/ **(link deprecated)**
* `:tabla_tas1` - http://freesound.org/people/dio_333/sounds/130427/ **(link deprecated)**
"""
NAMES = ("bd_haus", "perc_bell2", "tabla_re", "tabla_tas1")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "prepare_sonic_pi", ROOT / "scripts" / "prepare_sonic_pi.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An extracted package."""
    folder = tmp_path / "package" / "usr" / "share" / "sonic-pi" / "samples"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(README)
    for name in NAMES:
        soundfile.write(folder / f"{name}.flac", torch.full((441, 2), 0.1).numpy(), 44100)
    return tmp_path / "package"


@pytest.mark.parametrize(
    ("name", "caption", "tags"),
    [
        ("drum_snare_hard", "drum snare hard", ("drum", "snare", "hard")),
        ("bd_haus", "kick drum haus", ("kick drum", "haus")),
        ("bd_808", "kick drum 808", ("kick drum", "808")),
        ("sn_dub", "snare drum dub", ("snare drum", "dub")),
        ("drum_heavy_kick", "drum heavy kick", ("drum", "heavy", "kick")),
        ("drum_tom_lo_soft", "drum tom low soft", ("drum", "tom", "low", "soft")),
        ("elec_filt_snare", "electronic filtered snare", ("electronic", "filtered", "snare")),
        ("glitch_perc3", "glitch percussion 3", ("glitch", "percussion")),
        ("guit_em9", "guitar E minor 9", ("guitar", "E minor 9")),
        ("loop_3d_printer", "loop 3d printer", ("loop", "3d", "printer")),
        ("loop_drone_g_97", "loop drone g 97", ("loop", "drone", "g", "97")),
        ("tabla_tabla_na", "tabla na", ("tabla", "na")),
    ],
)
def test_captions(script: ModuleType, name: str, caption: str, tags: tuple[str, ...]) -> None:
    assert script.caption(name) == caption
    assert script.tags(name) == tags


def test_the_folder(script: ModuleType, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    table = tmp_path / "TABLE.md"
    arguments = ["--source", str(source), "--output", str(output), "--attributions", str(table)]
    assert script.main(arguments) == 0
    recordings = read_manifest(output)
    assert [recording.title for recording in recordings] == list(NAMES)
    assert recordings[0] == Recording(
        file="audio/bd_haus.flac",
        caption="kick drum haus",
        tags=("kick drum", "haus"),
        family="bd",
        title="bd_haus",
        source="freesound:137722",
        author="Rodrigo The Mad",
        licence="http://creativecommons.org/publicdomain/zero/1.0/",
        page_url="http://freesound.org/people/Rodrigo%20The%20Mad/sounds/137722/",
    )
    samples = source / "usr" / "share" / "sonic-pi" / "samples"
    for name in NAMES:
        copied = output / "audio" / f"{name}.flac"
        assert copied.read_bytes() == (samples / f"{name}.flac").read_bytes()
    text = table.read_text()
    assert text == (output / "ATTRIBUTIONS.md").read_text()
    assert "| perc_bell2 | hullum | 415559 | <https://freesound.org/people/hullum/" in text
    assert "sounds/130427/> * |" in text
    assert "the same sound 130427 for `tabla_re` and `tabla_tas1`" in text
    assert script.main(arguments) == 0, "a second run replaces the first"


def test_unknown_and_missing_samples_are_named(
    script: ModuleType, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = script.find_samples(source)
    (samples / "bd_haus.flac").rename(samples / "bd_secret.flac")
    assert script.main(["--source", str(source), "--output", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert "left out, because README.md does not say where they come from: bd_secret" in told
    assert "in README.md, but without a FLAC file: bd_haus" in told
    assert "secret" not in (tmp_path / "out" / "manifest.jsonl").read_text()


def test_errors(
    script: ModuleType, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def message(folder: Path) -> str:
        assert script.main(["--source", str(folder), "--output", str(tmp_path / "out")]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return str(line)

    assert "no FLAC files here or in usr/share/sonic-pi/samples" in message(tmp_path / "absent")
    samples = script.find_samples(source)
    soundfile.write(samples / "bd_haus.flac", torch.zeros(100).numpy(), 48000)
    assert "bd_haus.flac: sample rate 48000 Hz" in message(source)
    (samples / "bd_haus.flac").write_bytes(b"")
    assert "bd_haus.flac: the file is empty (0 bytes)" in message(source)
    (samples / "bd_haus.flac").unlink()
    (samples / "README.md").write_text("nothing")
    assert "no FLAC file has an entry in README.md" in message(source)
    (samples / "README.md").unlink()
    assert "README.md: not there; it says where" in message(source)


def test_the_package_is_downloaded_without_a_source(
    script: ModuleType,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """apt-get and dpkg-deb are stand-ins: the one leaves a package, the other unpacks it."""
    calls: list[list[str]] = []

    def run(command: list[str], *, cwd: Path, check: bool) -> None:
        calls.append(command)
        if command[0] == "apt-get":
            (cwd / "sonic-pi-samples_1_all.deb").touch()
        else:
            (source / "usr").rename(cwd / "usr")

    monkeypatch.setattr(script.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(script.subprocess, "run", run)
    assert script.main(["--output", str(tmp_path / "out")]) == 0
    assert calls == [
        ["apt-get", "download", "sonic-pi-samples"],
        ["dpkg-deb", "-x", "sonic-pi-samples_1_all.deb", "."],
    ]
    assert len(read_manifest(tmp_path / "out")) == len(NAMES)

    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(100, command)

    monkeypatch.setattr(script.subprocess, "run", fail)
    assert script.main(["--output", str(tmp_path / "out")]) == 1
    assert "apt-get download sonic-pi-samples failed with status 100" in capsys.readouterr().err
    monkeypatch.setattr(script.shutil, "which", lambda _: None)
    assert script.main(["--output", str(tmp_path / "out")]) == 1
    assert "apt-get is not installed" in capsys.readouterr().err


def test_attributions_of_the_repository_name_each_recording(script: ModuleType) -> None:
    rows = [
        line
        for line in (ROOT / "ATTRIBUTIONS.md").read_text().splitlines()
        if "/people/" in line and line.startswith("| ")
    ]
    assert len(rows) == 165
