"""Licences of Debian packages' recordings, by the stanzas of their copyright files."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stable_audio_open.cli.main import main
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.licences.debian_copyright import (
    accepted_licence,
    read_copyright,
    stanza_of,
)
from stable_audio_open.curation.sources.debian import read_debian

HEADER = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: rain
Source: https://example.org/rain

Files: *
Copyright: 2010-2020, Ada Kaya <ada@example.org>
License: GPL-3+
"""
RAIN = f"""\
{HEADER}
Files: sounds/*
Copyright: Various
License: public-domain
 From freesound.org.

Files: images/*
       debian/*
Copyright: © 2011 Bo
License: CC-BY-SA-4.0

Files: sounds/heavy rain.wav
Copyright: (c) 2012 Cem, Ltd.
License: CC-BY-SA-3.0
Comment: Taken from http://example.org/heavy.

Files: ./sounds//near/drop?.wav sounds/far/*
Copyright: Copyright 2013 by Dee
License: GPL-2+ or CC-BY-3.0
"""
ROOT = "usr/share/games/rain"


def package(folder: Path, copyright: str, *files: str, name: str = "rain-data") -> Path:
    root = folder / name
    documents = root / "usr/share/doc" / name
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(copyright, encoding="utf-8")
    for number, file in enumerate(files):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(number).standard_normal((800, 2))
        soundfile.write(path, noise, 8000)
    return root


def licences(folder: Path, name: str = "rain-data") -> dict[str, tuple[str | None, str | None]]:
    rows = list(read_debian(name, folder))
    assert [row.reason for row in rows if row.reason] == []
    records = [row.record for row in rows if row.record is not None]
    return {Path(one.file or "").name: (one.licence, one.author) for one in records}


def test_the_last_stanza_that_matches_counts(tmp_path: Path) -> None:
    files = [
        "sounds/soft.wav",
        "sounds/heavy rain.wav",
        "sounds/near/drop1.wav",
        "sounds/far/a/b.wav",
    ]
    package(tmp_path, RAIN, *(f"{ROOT}/{file}" for file in files))
    assert licences(tmp_path) == {
        "soft.wav": ("public domain", "Various"),
        "heavy rain.wav": ("CC-BY-SA-3.0", "Cem, Ltd."),
        "drop1.wav": ("CC-BY-3.0", "Dee"),
        "b.wav": ("CC-BY-3.0", "Dee"),
    }


def test_a_record_says_where_it_comes_from(tmp_path: Path) -> None:
    package(tmp_path, RAIN, f"{ROOT}/sounds/heavy rain.wav", f"{ROOT}/sounds/soft.wav")
    heavy, soft = (row.record for row in read_debian("rain-data", tmp_path))
    assert heavy is not None
    assert soft is not None
    assert (heavy.id, heavy.title) == (
        f"debian:rain-data/{ROOT}/sounds/heavy rain.wav",
        "heavy rain",
    )
    assert heavy.file == f"rain-data/{ROOT}/sounds/heavy rain.wav"
    assert (heavy.duration, heavy.sample_rate, heavy.channels) == (0.1, 8000, 2)
    assert heavy.page_url == "http://example.org/heavy"
    assert soft.page_url == "https://example.org/rain"


def test_folders_of_the_sources_may_have_other_names_above(tmp_path: Path) -> None:
    """As sonic-pi-samples: etc/samples of the sources is installed in share/sonic-pi/samples."""
    text = f"""\
{HEADER}
Files: etc/samples/drone.flac
Copyright: 2014 eve
License: CC0

Files: debian/*
Copyright: 2014 fay
License: MIT
"""
    package(tmp_path, text, "usr/share/rain/samples/drone.flac", "usr/share/rain/samples/new.flac")
    assert licences(tmp_path) == {
        "drone.flac": ("CC0", "eve"),
        "new.flac": ("GPL-3+", "Ada Kaya <ada@example.org>"),
    }


def test_what_can_be_read_in_two_ways_is_rejected(tmp_path: Path) -> None:
    text = (
        f"{HEADER}\nFiles: a/drop.wav\nLicense: CC0\n\nFiles: b/drop.wav\nLicense: CC-BY-SA-4.0\n"
    )
    package(tmp_path, text, "usr/share/rain/drop.wav")
    (row,) = read_debian("rain-data", tmp_path)
    assert row.record is None
    assert row.reason == "the copyright file can be read as CC-BY-SA-4.0 and as CC0"


def test_files_that_nothing_is_said_of_are_rejected(tmp_path: Path) -> None:
    text = f"{HEADER.partition('Files')[0]}Files: images/*\nLicense: CC0\n"
    package(tmp_path, text, f"{ROOT}/sounds/soft.wav")
    (row,) = read_debian("rain-data", tmp_path)
    assert row.reason == "the copyright file says nothing of it"


def test_an_escaped_wildcard_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "copyright"
    path.write_text(f"{HEADER}\nFiles: sounds/what\\?.wav\nLicense: CC0\n", encoding="utf-8")
    found = stanza_of(read_copyright(path), ["x/sounds/what?.wav", "x/sounds/whats.wav"])
    assert [[s.licence for s in stanzas] for stanzas in found.values()] == [["CC0"], ["GPL-3+"]]


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("CC-BY-4.0", "CC-BY-4.0"),
        ("GPL-2+ or CC0-1.0", "CC0-1.0"),
        ("GPL-2+, or CC-BY-SA-3.0", "GPL-2+, or CC-BY-SA-3.0"),
        ("CC0 and GPL-2+", "CC0 and GPL-2+"),
        ("PD", "public domain"),
    ],
)
def test_one_of_several_licences_is_chosen(expression: str, chosen: str) -> None:
    assert accepted_licence(expression) == chosen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("This package is free software.\n", "not machine-readable"),
        ("", "not machine-readable"),
        (HEADER.partition("Files")[0], "says of no file what its licence is"),
    ],
)
def test_copyright_files_that_say_too_little(tmp_path: Path, text: str, message: str) -> None:
    package(tmp_path, text, f"{ROOT}/sounds/soft.wav")
    with pytest.raises(ValueError, match=message):
        list(read_debian("rain-data", tmp_path))


def test_the_command_accepts_public_domain_of_debian_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("soft.wav", "heavy rain.wav", "far/a.wav")
    package(tmp_path / "debian", RAIN, *(f"{ROOT}/sounds/{file}" for file in files))
    catalogue = tmp_path / "catalogue"
    options = ["--audio", str(tmp_path / "debian"), "--output", str(catalogue)]
    assert main(["curate", "ingest", "debian", "rain-data", *options]) == 0
    assert len(list(read_catalogue(catalogue))) == 3
    assert main(["curate", "licences", str(catalogue)]) == 0
    printed = capsys.readouterr().out
    assert "1  public domain  accepted" in printed
    assert "1  CC-BY 3.0  accepted" in printed
    assert "1  CC-BY-SA 3.0  refused" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rain-data"], "debian needs --audio DIR, the folder that holds the packages' folders"),
        (["Rain", "--audio", "."], "'Rain' is no name of a Debian package; give names such as"),
        (["other", "--audio", "."], "other/usr/share/doc/other/copyright: not there"),
    ],
)
def test_mistakes_are_told_in_a_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    assert main(["curate", "ingest", "debian", *arguments, "--output", "catalogue"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


class TestFetching:
    def test_only_recordings_and_licences_are_unpacked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if shutil.which("dpkg-deb") is None:
            pytest.skip("needs dpkg-deb")
        root = package(tmp_path / "made", RAIN, f"{ROOT}/sounds/soft.wav")
        (root / ROOT / "sounds/notes.txt").write_text("not a sound")
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN/control").write_text(
            "Package: rain-data\nVersion: 1\nArchitecture: all\n"
            "Maintainer: Ada <ada@example.org>\nDescription: rain\n"
        )
        archive = tmp_path / "rain-data_1_all.deb"
        subprocess.run(["dpkg-deb", "--build", root, archive], check=True, capture_output=True)
        programs(tmp_path / "bin", monkeypatch, f'[ "$2" = rain-data ] && cp "{archive}" .')
        assert licences(tmp_path / "debian") == {"soft.wav": ("public domain", "Various")}
        unpacked = [path for path in (tmp_path / "debian").rglob("*") if path.is_file()]
        assert sorted(path.name for path in unpacked) == ["copyright", "soft.wav"]
        monkeypatch.setenv("PATH", "")  # what is there is not fetched again
        assert len(licences(tmp_path / "debian")) == 1

    def test_a_package_that_apt_does_not_know(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        programs(tmp_path / "bin", monkeypatch, "echo 'E: Unable to locate package' >&2; exit 100")
        with pytest.raises(ValueError, match=r"apt-get download rain-data failed \(E: Unable"):
            list(read_debian("rain-data", tmp_path / "debian"))
        assert list((tmp_path / "debian").iterdir()) == []

    def test_without_the_programs_of_debian(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ValueError, match="apt-get is not installed, so rain-data cannot be"):
            list(read_debian("rain-data", tmp_path / "debian"))


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, apt_get: str) -> None:
    """Put an apt-get that needs no network before the others."""
    folder.mkdir()
    for name, script in (("apt-get", apt_get), ("dpkg-deb", 'exec /usr/bin/dpkg-deb "$@"')):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
