"""Turn the Debian package `sonic-pi-samples` into a training folder.

165 CC0 recordings from Freesound, chosen and trimmed for Sonic Pi. The README.md beside them maps
each name to the Freesound user and sound. Written: `audio/` (the FLAC files), `manifest.jsonl` and
`ATTRIBUTIONS.md` (one row a recording).

    python scripts/prepare_sonic_pi.py --output data/sonic_pi
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from stable_audio_open.audio.files import audio_info
from stable_audio_open.data.manifest import Recording, write_manifest
from stable_audio_open.files.atomic import replace_bytes, written_beside

PACKAGE = "sonic-pi-samples"
SAMPLES = Path("usr/share/sonic-pi/samples")
SAMPLE_RATE = 44100
CC0 = "http://creativecommons.org/publicdomain/zero/1.0/"

FAMILIES = {
    "ambi": "ambient",
    "bass": "bass",
    "bd": "kick drum",
    "drum": "drum",
    "elec": "electronic",
    "glitch": "glitch",
    "guit": "guitar",
    "loop": "loop",
    "mehackit": "mehackit",
    "misc": "miscellaneous",
    "perc": "percussion",
    "sn": "snare drum",
    "tabla": "tabla",
    "vinyl": "vinyl",
}
WORDS = {
    "em9": "E minor 9",
    "filt": "filtered",
    "hi": "high",
    "lo": "low",
    "perc": "percussion",
}
ENTRY = re.compile(
    r"^\* `:(?P<name>\w+)`\s*-\s*(?P<url>https?://\S+/people/(?P<user>[^/]+)/sounds/(?P<id>\d+)/?)(?P<rest>.*)"
)


class Entry(NamedTuple):
    """A line of the README: where a sample comes from."""

    name: str
    url: str
    user: str
    sound: str
    reachable: bool
    """False where the README calls the link deprecated."""


def find_samples(source: Path) -> Path:
    """The folder with the FLAC files: `source` itself, or below it as in the package."""
    for folder in (source, source / SAMPLES):
        if any(folder.glob("*.flac")):
            return folder
    raise ValueError(
        f"{source}: no FLAC files here or in {SAMPLES}; give the folder of the samples or of the "
        "extracted package"
    )


def download(folder: Path) -> Path:
    """Fetch the package with apt-get and unpack it below `folder`; needs no root."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise ValueError(
                f"{program} is not installed, so {PACKAGE} cannot be fetched; unpack the Debian "
                "package elsewhere and pass --source DIR"
            )
    try:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
        (package,) = folder.glob(f"{PACKAGE}_*.deb")
        subprocess.run(["dpkg-deb", "-x", package.name, "."], cwd=folder, check=True)
    except subprocess.CalledProcessError as error:
        raise ValueError(
            f"{' '.join(error.cmd)} failed with status {error.returncode}; run apt-get update, or "
            "unpack the Debian package yourself and pass --source DIR"
        ) from error
    return folder


def key(name: str) -> str:
    """What the README and the file names agree on: it says `perc_bell_2` for perc_bell2.flac."""
    return name.replace("_", "").lower()


def read_entries(readme: Path) -> dict[str, Entry]:
    """Entries of the README by their key."""
    if not readme.is_file():
        raise ValueError(f"{readme}: not there; it says where each sample comes from")
    matches = map(ENTRY.match, readme.read_text(encoding="utf-8").splitlines())
    entries = [
        Entry(
            name=match["name"],
            url=match["url"],
            user=unquote(match["user"]),
            sound=match["id"],
            reachable="deprecated" not in match["rest"],
        )
        for match in matches
        if match
    ]
    return {key(entry.name): entry for entry in entries}


def phrases(name: str) -> list[str]:
    """The family's phrase, then the other words: `bd_haus` -> ["kick drum", "haus"]."""
    family, *rest = name.split("_")
    words: list[str] = []
    for word in rest:
        numbered = re.fullmatch(r"([a-z]{2,})(\d+)", word)
        parts = [word] if word in WORDS or not numbered else list(numbered.groups())
        words += [WORDS.get(part, part) for part in parts]
    return list(dict.fromkeys([FAMILIES.get(family, family), *words]))


def caption(name: str) -> str:
    """Readable English: `bd_haus` -> "kick drum haus"."""
    return " ".join(phrases(name))


def tags(name: str) -> tuple[str, ...]:
    """The phrases, without the one-digit numbers that only tell takes apart."""
    return tuple(phrase for phrase in phrases(name) if not re.fullmatch(r"\d", phrase))


def recording(name: str, entry: Entry) -> Recording:
    """The manifest's line for `name`.flac."""
    return Recording(
        file=f"audio/{name}.flac",
        caption=caption(name),
        tags=tags(name),
        family=name.split("_")[0],
        title=name,
        source=f"freesound:{entry.sound}",
        author=entry.user,
        licence=CC0,
        page_url=entry.url,
    )


def check_rates(files: Iterable[Path]) -> None:
    """Refuse a recording that is not at 44.1 kHz."""
    for file in files:
        rate = audio_info(file).sample_rate
        if rate != SAMPLE_RATE:
            raise ValueError(f"{file}: sample rate {rate} Hz; every recording must be at 44100 Hz")


def attributions(recordings: Sequence[Recording], unreachable: Collection[str] = ()) -> str:
    """The text of ATTRIBUTIONS.md, notes on the README's oddities included."""
    rows = [
        f"| {r.title} | {r.author} | {(r.source or '').partition(':')[2]} "
        f"| <{r.page_url}>{' *' if r.page_url in unreachable else ''} |"
        for r in recordings
    ]
    sources = Counter(r.source for r in recordings)
    repeated = [
        f"The package's README gives the same sound {source.partition(':')[2]} for "
        + " and ".join(f"`{r.title}`" for r in recordings if r.source == source)
        + "; one of them may have another source by the same author."
        for source, count in sources.items()
        if source and count > 1
    ]
    return "\n".join(
        [
            "# Attributions",
            "",
            f"The bundled model is trained on {len(recordings)} recordings of the Debian package",
            f"`{PACKAGE}`. By the package's README.md all are from <https://freesound.org>, placed",
            f"in the public domain under Creative Commons 0 1.0 (<{CC0}>),",
            "and many were modified and trimmed for Sonic Pi. The recordings are not part of this",
            "repository; `scripts/prepare_sonic_pi.py` fetches them and writes this table from",
            "that README.md. Pages with a * are marked there as no longer reachable.",
            *(["", *repeated] if repeated else []),
            "",
            "| Sample | Freesound user | Sound | Page |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def prepare(source: Path, output: Path) -> list[Recording]:
    """Copy the recordings of `source` to `output` and describe them; return the descriptions."""
    samples = find_samples(source)
    files = sorted(samples.glob("*.flac"))
    entries = read_entries(samples / "README.md")
    check_rates(files)
    unknown = [file.stem for file in files if key(file.stem) not in entries]
    if len(unknown) == len(files):
        raise ValueError(f"{samples}: no FLAC file has an entry in README.md; nothing was written")
    if unknown:
        print(
            f"left out, because README.md does not say where they come from: {', '.join(unknown)}",
            file=sys.stderr,
        )
    absent = set(entries) - {key(file.stem) for file in files}
    if absent:
        names = ", ".join(sorted(entries[name].name for name in absent))
        print(f"in README.md, but without a FLAC file: {names}", file=sys.stderr)
    audio = output / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    recordings = []
    for file in files:
        if file.stem in unknown:
            continue
        with written_beside(audio / file.name) as temporary:
            shutil.copyfile(file, temporary)
        recordings.append(recording(file.stem, entries[key(file.stem)]))
    write_manifest(output / "manifest.jsonl", recordings)
    unreachable = {entry.url for entry in entries.values() if not entry.reachable}
    replace_bytes(output / "ATTRIBUTIONS.md", attributions(recordings, unreachable).encode())
    return recordings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every recording was written, 1 after an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--source", type=Path, help="folder of the samples or of the extracted package"
    )
    parser.add_argument(
        "--attributions", type=Path, help="write the table of sources here too (ATTRIBUTIONS.md)"
    )
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            source = options.source or download(Path(temporary))
            recordings = prepare(source, options.output)
        if options.attributions:
            replace_bytes(options.attributions, (options.output / "ATTRIBUTIONS.md").read_bytes())
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    seconds = sum(audio_info(options.output / r.file).duration for r in recordings)
    print(f"{len(recordings)} recordings, {seconds:.0f} s, in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
