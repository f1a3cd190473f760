"""What is written: audio as the trainer takes it, manifests, prompts, and who is to be named."""

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from bundled.curate import Kept
from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.peaks import limit_peak
from stable_audio_open.audio.writing.formats import encode
from stable_audio_open.curation.licences.attributions import write_attributions
from stable_audio_open.curation.licences.policy import normalise
from stable_audio_open.data.manifest import Recording, write_manifest
from stable_audio_open.files.atomic import replace_bytes

SAMPLE_RATE, CHANNELS = 44100, 2
LONGEST = 12.0
"""Seconds, after which a recording is cut."""
FADE = 0.05
"""Seconds of the fade where it is cut."""
TRAIN, HELD_OUT, PROMPTS = "train.jsonl", "held_out.jsonl", "prompts.csv"
LOWEST = 10.0
"""Hertz below which a recording is made quieter: offsets and swings that nobody hears."""
VORBIS = 0.4
"""Compression of libsndfile's Vorbis encoder, 0 to 1: a third of FLAC's bytes, and an error that is
26 dB below the sound in the median of recordings."""
CHANGES = (
    f"as FLAC or Ogg Vorbis with {SAMPLE_RATE} Hz and {CHANNELS} channels, without what lies below "
    f"{LOWEST:g} Hz, faded out after {LONGEST:g} s; used to train a model"
)


def write(output: Path, kept: Sequence[Kept], *, small: bool = False) -> dict[str, float]:
    """Write the folder of the set, and return the seconds of each recording by its identifier.

    Args:
        output: The folder, which holds the packages.
        kept: The recordings.
        small: Write what is trained on as Ogg Vorbis, with losses; what is held out stays FLAC.

    Raises:
        AudioFileError: A recording cannot be read.
        OSError: A file cannot be written.
    """
    sources = output / "sources"
    lines: dict[bool, list[Recording]] = {False: [], True: []}
    seconds: dict[str, float] = {}
    for one, name in zip(kept, _names(kept, small=small), strict=True):
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        seconds[one.record.id] = _write_audio(sources / str(one.record.file), target)
        lines[one.held_out].append(_line(one, name))
    write_manifest(output / TRAIN, lines[False])
    write_manifest(output / HELD_OUT, lines[True])
    replace_bytes(output / PROMPTS, _prompts(kept, seconds).encode())
    records = [one.record for one in kept]
    write_attributions(lambda: records, output, changes=CHANGES)
    return seconds


def _names(kept: Sequence[Kept], *, small: bool) -> list[str]:
    """Return a path for each recording: package and name, with a number where it is taken."""
    taken: set[str] = set()
    names = []
    for one in kept:
        package, *_, last = str(one.record.file).split("/")
        stem = re.sub(r"[^\w.-]+", "_", last.rpartition(".")[0]).strip("_")
        name, number = f"audio/{package}/{stem}", 2
        while name in taken:
            name, number = f"audio/{package}/{stem}_{number}", number + 1
        taken.add(name)
        names.append(name + (".ogg" if small and not one.held_out else ".flac"))
    return names


def _write_audio(source: Path, target: Path) -> float:
    """Write a recording as the trainer takes it, and return its seconds."""
    audio = read_audio(source, sample_rate=SAMPLE_RATE, channels=CHANNELS, duration=LONGEST + FADE)
    samples = without_offset(audio.samples[0])
    most = round(LONGEST * SAMPLE_RATE)
    if samples.shape[-1] > most:
        faded = round(FADE * SAMPLE_RATE)
        samples = samples[:, :most].clone()
        samples[:, -faded:] *= 1 - samples.new_tensor(range(faded)) / faded
    samples, _ = limit_peak(samples)
    lossy = target.suffix == ".ogg"
    made = _vorbis(samples) if lossy else encode(samples, SAMPLE_RATE, ".flac", "pcm16")
    replace_bytes(target, made)
    return samples.shape[-1] / SAMPLE_RATE


def without_offset(samples: Float[Tensor, "channels time"]) -> Float[Tensor, "channels time"]:
    """Return a sound without its offset and without what is slower than `LOWEST`.

    Two filters of first order, (1 - 1/z) / (1 - p/z) with p = exp(-2 pi LOWEST / rate), of unit
    gain at half the rate; 40 Hz lose 0.5 dB. Nothing comes before the sound.
    """
    length = samples.shape[-1]
    padded = length + SAMPLE_RATE  # the filters have died away before the sound comes round
    pole = math.exp(-2 * math.pi * LOWEST / SAMPLE_RATE)
    angle = 2 * math.pi * torch.arange(padded // 2 + 1, dtype=torch.float64) / padded
    delay = torch.polar(torch.ones_like(angle), -angle)
    response = ((1 + pole) / 2 * (1 - delay) / (1 - pole * delay)) ** 2
    spectrum = torch.fft.rfft(samples.double(), n=padded) * response
    found: Tensor = torch.fft.irfft(spectrum, n=padded)
    return found[..., :length].to(samples.dtype)


def _vorbis(samples: Float[Tensor, "channels time"]) -> bytes:
    content = io.BytesIO()
    frames = samples.T.contiguous().numpy()
    soundfile.write(
        content, frames, SAMPLE_RATE, format="OGG", subtype="VORBIS", compression_level=VORBIS
    )
    return content.getvalue()


def _line(one: Kept, file: str) -> Recording:
    record, described = one.record, one.described
    return Recording(
        file=file,
        caption=described.captions[0],
        captions=described.captions,
        tags=described.tags,
        family=described.rule.family,
        title=record.title,
        source=record.id,
        author=record.author,
        licence=normalise(record.licence).url or record.licence,
        page_url=record.page_url,
    )


def _prompts(kept: Sequence[Kept], seconds: dict[str, float]) -> str:
    """Return a table for `generate --jobs`: each text in other words once, named by its family."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in kept:
        found[one.described.rule.family, one.described.asked].append(seconds[one.record.id])
    numbers: dict[str, int] = defaultdict(int)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("prompt", "duration", "name"))
    for (family, asked), lengths in sorted(found.items()):
        numbers[family] += 1
        mean = sum(lengths) / len(lengths)
        table.writerow((asked, max(0.5, round(2 * mean) / 2), f"{family}_{numbers[family]:02d}"))
    return text.getvalue()
