"""Measure curation on synthetic catalogues of the paper's size and on synthetic recordings.

    python scripts/measure_curation.py metadata --folder /tmp/curation
    python scripts/measure_curation.py duplicates
    python scripts/measure_curation.py audio --folder /tmp/curation

metadata runs the commands `curate ingest` and `curate licences` on 472,618 sounds as Freesound's
API describes them and 13,874 tracks of FMA, then draws a prompt for every record, each in a
process of its own, whose peak memory is told. duplicates searches random embeddings. audio reads
48 kHz stereo FLAC with one thread; its tagger is PANNs' network at its published size with random
weights, on which times do not depend, and the package musicnn's where it is installed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stable_audio_open.audio_models.tagger import Tagger

FREESOUND, FMA = 472_618, 13_874
WORDS = tuple(f"{a}{b}" for a in ("bass", "rain", "kick", "wind", "pad") for b in range(2000))
LICENCES = (
    "https://creativecommons.org/publicdomain/zero/1.0/",
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/sampling+/1.0/",
    "https://creativecommons.org/licenses/by-nc/4.0/",  # to be dropped
)
COMMAND = "import sys; from stable_audio_open.cli.main import main; sys.exit(main())"
TRACK = ("date_recorded", "duration", "genres", "information", "license", "tags", "title")
FMA_HEADER = (
    ("", "album", "album", "artist", *["track"] * len(TRACK)),
    ("", "title", "date_released", "name", *TRACK),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=("metadata", "duplicates", "audio", "prompts"))
    parser.add_argument("--folder", type=Path, default=Path("measured-curation"))
    parser.add_argument("--scale", type=float, default=1.0, help="of the paper's catalogues")
    parser.add_argument("--items", type=int, default=50_000, help="embeddings")
    parser.add_argument("--recordings", type=int, default=8, help="of a minute each")
    options = parser.parse_args(arguments)
    measure: dict[str, Callable[[argparse.Namespace], None]] = {
        "metadata": _metadata,
        "duplicates": _duplicates,
        "audio": _audio,
        "prompts": _prompts,
    }
    measure[options.part](options)
    return 0


def _metadata(options: argparse.Namespace) -> None:
    folder: Path = options.folder
    sounds, tracks = folder / "sounds.jsonl", folder / "fma"
    tracks.mkdir(parents=True, exist_ok=True)
    _write_sounds(sounds, round(FREESOUND * options.scale))
    _write_tracks(tracks, round(FMA * options.scale))
    total = 0.0
    for name, source in (("freesound", sounds), ("fma", tracks)):
        catalogue = folder / f"{name}-catalogue"
        ingest = ("ingest", name, source, "--output", catalogue, "--replace")
        # A second run would otherwise have nothing to decide.
        (catalogue / "decisions.jsonl").unlink(missing_ok=True)
        for words in (ingest, ("licences", catalogue)):
            command = [sys.executable, "-c", COMMAND, "curate", *map(str, words)]
            total += _timed(f"{words[0]} {name}", command)
        prompts = [sys.executable, __file__, "prompts", "--folder", str(catalogue)]
        total += _timed(f"a prompt for each of {name}", prompts)
    print(f"in all {total:.1f} s")


def _timed(what: str, command: list[str]) -> float:
    """Run a process; print its time and its peak of resident memory."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read().strip().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # already waited for
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{what} failed")
    print(f"{what}: {seconds:.1f} s, peak {usage.ru_maxrss / 1024:.0f} MiB ({said[-1]})")
    return seconds


def _prompts(options: argparse.Namespace) -> None:
    from stable_audio_open.curation.catalogue.parquet import read_catalogue
    from stable_audio_open.curation.training_set.epoch_prompt import prompt_of_epoch
    from stable_audio_open.prompts import is_described

    drawn = characters = 0
    for record in read_catalogue(options.folder):
        if is_described(record):
            drawn += 1
            characters += len(prompt_of_epoch(record, epoch=0, seed=0))
    print(f"{drawn} prompts, {characters / 1e6:.0f} MB")


def _write_sounds(path: Path, count: int) -> None:
    generator = random.Random(0)
    with path.open("w") as file:
        for number in range(count):
            words = generator.choices(WORDS, k=40)
            sound: dict[str, Any] = {
                "id": number,
                "name": " ".join(words[:3]),
                "tags": words[3:10],
                "description": " ".join(words),
                "license": generator.choice(LICENCES),
                "username": words[0],
                "url": f"https://freesound.org/people/{words[0]}/sounds/{number}/",
                "duration": generator.uniform(1, 90),
                "samplerate": 44100.0,
                "channels": 2,
            }
            file.write(json.dumps(sound) + "\n")


def _write_tracks(folder: Path, count: int) -> None:
    generator = random.Random(1)
    (folder / "genres.csv").write_text("genre_id,#tracks,parent,title,top_level\n1,9,0,Rock,1\n")
    with (folder / "tracks.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows(FMA_HEADER)
        rows.writerow(["track_id", *[""] * 10])
        for number in range(count):
            words = generator.choices(WORDS, k=12)
            album, artist, title = words[0], " ".join(words[1:3]), " ".join(words[3:6])
            year, tags = f"{generator.randrange(1990, 2018)}-01-01 00:00:00", str(words[6:9])
            said = " ".join(words)
            rows.writerow(
                [number, album, year, artist, year, 270, "[1]", said, "Attribution", tags, title]
            )


def _duplicates(options: argparse.Namespace) -> None:
    import torch

    from stable_audio_open.similarity.pairs import groups, similar_pairs

    count: int = options.items
    embeddings = torch.randn(count, 512, generator=torch.Generator().manual_seed(0))
    copies = count // 100
    embeddings[-copies:] = embeddings[:copies]
    start = time.perf_counter()
    found = groups(count, similar_pairs(embeddings, 0.99))
    seconds = time.perf_counter() - start
    assert len(found) == copies
    whole = FREESOUND + FMA
    print(
        f"{count} x 512: {seconds:.1f} s, {torch.get_num_threads()} threads, "
        f"{len(found)} groups found; extrapolated to {whole} (quadratic): "
        f"{seconds * (whole / count) ** 2 / 60:.0f} min"
    )


def _audio(options: argparse.Namespace) -> None:
    import numpy as np
    import soundfile
    import torch

    from stable_audio_open.audio_models.panns.network import (
        CLASSES,
        MUSIC_CLASSES,
        Cnn14DecisionLevel,
        PannsTagger,
        panns_spectrogram,
    )
    from stable_audio_open.curation.sources.folder import read_folder
    from stable_audio_open.curation.training_set.fidelity import file_fidelity
    from stable_audio_open.similarity.audio_hashes import audio_hash

    torch.set_num_threads(1)
    folder: Path = options.folder / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for number in range(options.recordings):
        noise = 0.1 * generator.standard_normal((60 * 48000, 2))
        soundfile.write(folder / f"{number:04d}.flac", noise, 48000)
    files = sorted(folder.glob("*.flac"))[: options.recordings]
    names = [f"class {number}" for number in range(CLASSES - len(MUSIC_CLASSES))]
    panns = PannsTagger(
        Cnn14DecisionLevel(),
        panns_spectrogram(),
        classes=(*MUSIC_CLASSES, *names),
        name="PANNs, random weights",
    )
    taggers: list[Any] = [panns]
    try:
        from stable_audio_open.audio_models.musicnn.network import load_musicnn

        taggers.append(load_musicnn("MTT_musicnn"))
    except ValueError as error:
        print(error)
    stages: list[tuple[str, Callable[[], object]]] = [
        ("scan (ingest folder)", lambda: list(read_folder(folder))),
        ("hash", lambda: [audio_hash(file) for file in files]),
        ("fidelity", lambda: [file_fidelity(file) for file in files]),
    ]
    for name, work in stages:
        _told(name, len(files) / 60, work)
    for tagger in taggers:
        some = files[:2]
        _told(tagger.name, len(some) / 60, partial(_tag_all, tagger, some))


def _tag_all(tagger: Tagger, files: Sequence[Path]) -> None:
    from stable_audio_open.curation.music.tagging import tag_recording

    for file in files:
        tag_recording(file, tagger)


def _told(what: str, hours: float, work: Callable[[], object]) -> None:
    """Print hours of audio for an hour of one core's time."""
    start = time.process_time()
    work()
    seconds = time.process_time() - start
    print(
        f"{what}: {hours * 3600 / seconds:.0f} h of audio per core-hour ({60 * hours:.0f} min read)"
    )


if __name__ == "__main__":
    sys.exit(main())
