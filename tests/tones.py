"""Decaying tones in the place and under names of Sonic Pi's samples."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 44100
NAMES = (
    "bd_haus",
    "bd_boom",
    "sn_dub",
    "tabla_re",
    "perc_bell",
    "perc_snap",
    "perc_swash",
    "bass_hit",
)


def save_tones(folder: Path) -> Path:
    """Write what `scripts/prepare_sonic_pi.py --source` reads, eight recordings of a second."""
    random = np.random.default_rng(0)
    time = np.arange(RATE)[:, None] / RATE
    lines = []
    for index, name in enumerate(NAMES):
        hertz = 80 * 2 ** (index / 2) * np.array([1.0, 1.01])
        samples = 0.6 * np.exp(-4 * time) * np.sin(2 * np.pi * hertz * time)
        samples += 0.02 * np.exp(-8 * time) * random.standard_normal(samples.shape)
        soundfile.write(folder / f"{name}.flac", samples, RATE)
        lines.append(f"* `:{name}` - https://freesound.org/people/nobody/sounds/{index}/")
    (folder / "README.md").write_text("\n".join(lines) + "\n")
    return folder
