"""Measure a small model on the recordings that it was trained on.

    python scripts/measure_tiny.py --model tiny --data data/sonic_pi --output measured.json

1. Reconstruction: STFT distance, MEL distance and SI-SDR (auraloss' defaults, one file at a time),
   against the same autoencoder with random weights.
2. Prompt adherence: sounds are generated from captions, and the recording nearest to each in
   log-mel space should be of the caption's family (the first part of its name). How far away the
   nearest of the family is counts too: what an adapter moves.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from stable_audio_open.audio.files import read_audio
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.data.manifest import Recording, read_manifest
from stable_audio_open.evaluation.distances import reconstruction_distances
from stable_audio_open.pretrained import StableAudio, load

FLOOR_DB = -80.0


def log_mel(samples: Tensor, *, sample_rate: int, seconds: float) -> Tensor:
    """Return the log-mel spectrogram `[frames, 64]` in dB of the first seconds, as mono.

    Shorter audio is followed by silence. Loudness counts, down to 80 dB below a full-scale sine:
    what is quieter is silence, whatever its noise.
    """
    length = round(seconds * sample_rate)
    mono = samples.mean(dim=0)[:length]
    mono = F.pad(mono, (0, length - len(mono)))
    window = torch.hann_window(2048)
    spectrum = torch.stft(mono, 2048, hop_length=512, window=window, return_complex=True).abs()
    filters = melscale_fbanks(1025, 30.0, sample_rate / 2, 64, sample_rate)
    power = (spectrum / (window.sum() / 2)).square().T @ filters
    decibels: Tensor = 10 * power.clamp(min=10 ** (FLOOR_DB / 10)).log10()
    return decibels


def reconstruct(autoencoder: AudioAutoencoder, audio: Tensor) -> Tensor:
    """Encode and decode, at the original length."""
    with torch.inference_mode():
        return autoencoder.decode(autoencoder.encode(audio))[..., : audio.shape[-1]]


def reconstruction(
    autoencoder: AudioAutoencoder, recordings: list[Recording], folder: Path
) -> dict[str, float]:
    """Return the median and mean distances over the recordings."""
    rows: dict[str, list[float]] = {"stft": [], "mel": [], "si_sdr": []}
    for recording in recordings:
        audio = read_audio(
            folder / recording.file,
            sample_rate=autoencoder.sample_rate,
            channels=autoencoder.audio_channels,
        ).samples
        decoded = reconstruct(autoencoder, audio)
        found = reconstruction_distances(decoded[0], audio[0], sample_rate=autoencoder.sample_rate)
        for name, values in rows.items():
            values.append(getattr(found, name))
    return {
        f"{name}_{kind}": round(function(values), 3)
        for name, values in rows.items()
        for kind, function in (("mean", statistics.fmean), ("median", statistics.median))
    }


def adherence(
    model: StableAudio,
    recordings: list[Recording],
    folder: Path,
    *,
    prompts: int,
    duration: float,
    steps: int,
    guidance_scale: float,
    seed: int,
    family: str | None = None,
    captions: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return the share of prompts whose nearest recording is of the prompt's family.

    Prompts are captions, of one family or of all, or other words for some of the files.
    """
    rate = model.sample_rate
    library = torch.stack(
        [
            log_mel(read_audio(folder / r.file, sample_rate=rate, channels=2).samples[0],
                    sample_rate=rate, seconds=duration)
            for r in recordings
        ]
    )  # fmt: skip
    families = [r.family or "" for r in recordings]
    words = {r.file: r.caption for r in recordings} if captions is None else captions
    eligible = [
        i
        for i, (own, r) in enumerate(zip(families, recordings, strict=True))
        if family in (None, own) and r.file in words
    ]
    chosen = random.Random(seed).sample(eligible, prompts)
    rows, distances = [], []
    for start in range(0, prompts, 8):
        batch = chosen[start : start + 8]
        audio = model.generate(
            [words[recordings[i].file] for i in batch],
            duration=duration,
            steps=steps,
            guidance_scale=guidance_scale,
            seed=[seed + i for i in batch],
            progress=False,
        )
        for index, item in zip(batch, audio, strict=True):
            mel = log_mel(item.samples[0], sample_rate=rate, seconds=duration)
            apart = (library - mel).square().mean(dim=(1, 2)).sqrt()
            rows.append((index, int(apart.argmin())))
            own = torch.tensor([name == families[index] for name in families])
            distances.append(float(apart[own].min()))
    right = [families[a] == families[b] for a, b in rows]
    counts = Counter(families)
    return {
        "prompts": prompts,
        "right": sum(right),
        "share": round(sum(right) / prompts, 3),
        "exact_recording": sum(a == b for a, b in rows),
        # Root mean square of the difference in dB to the nearest recording of the family.
        "distance_to_family_db": round(statistics.fmean(distances), 2),
        # Nearest recording drawn at random from all recordings.
        "chance": round(statistics.fmean(counts[families[a]] / len(families) for a, _ in rows), 3),
        # Always answering with the most frequent family.
        "chance_of_commonest": round(max(counts.values()) / len(families), 3),
        "wrong": [
            f"{words[recordings[a].file]} -> {recordings[b].caption}"
            for (a, b), ok in zip(rows, right, strict=True)
            if not ok
        ],
        "duration": duration,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "seed": seed,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="any source that load takes")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--duration", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance-scale", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", help="take the captions of this family alone")
    parser.add_argument("--captions", help="take the captions of this manifest of the folder")
    parser.add_argument(
        "--lora", action="append", default=[], metavar="PATH", help="adapter to merge"
    )
    parser.add_argument("--skip-untrained", action="store_true")
    parser.add_argument("--skip-reconstruction", action="store_true")
    options = parser.parse_args()
    try:
        recordings = read_manifest(options.data, "manifest.jsonl")
        captions = None
        if options.captions:
            renamed = read_manifest(options.data, options.captions)
            captions = {one.file: one.caption for one in renamed}
        model = load(
            options.model,
            device="cpu",
            dtype="float32",
            lora=[(path, 1.0) for path in options.lora],
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    own = [
        one
        for one in recordings
        if options.family in (None, one.family) and (captions is None or one.file in captions)
    ]
    if options.prompts > len(own):
        parser.error(f"--prompts {options.prompts}: there are only {len(own)} such recordings")
    autoencoder = model.autoencoder if isinstance(model, StableAudio) else model
    measured: dict[str, Any] = {}
    if not options.skip_reconstruction:
        measured["reconstruction"] = reconstruction(autoencoder, recordings, options.data)
    if isinstance(model, StableAudio):
        if not (options.skip_untrained or options.skip_reconstruction):
            torch.manual_seed(options.seed)
            untrained = build_autoencoder(model.config).eval()
            measured["reconstruction_untrained"] = reconstruction(
                untrained, recordings, options.data
            )
        measured["adherence"] = adherence(
            model,
            recordings,
            options.data,
            prompts=options.prompts,
            duration=options.duration,
            steps=options.steps,
            guidance_scale=options.guidance_scale,
            seed=options.seed,
            family=options.family,
            captions=captions,
        )
    text = json.dumps(measured, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
