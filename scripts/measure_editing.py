"""Measure how well edited sounds hold together, on recordings.

    python scripts/measure_editing.py --data data/sonic_pi --output editing.json

Inpainting: of 20 recordings a span of 0.6 s is generated anew, from the recording's own caption and
from another one's. Joints are measured by `stable_audio_open.evaluation.joints`, and the level of
what is new is to be within 3 dB of the rest. The same measures are taken of what must fail: another
recording put in without a crossfade, silence, fades at the joints, and (by adherence to the other
prompt) the untouched recording. "pasted" is a plain generation, put in like what is inpainted, and
"reconstruction" the removed part itself through the autoencoder: what the best transformer could
reach with it. Loops of three lengths are measured where their end meets their start, and sounds
longer than the window where windows meet, both from the captions of the recordings. Ten recordings
are varied by five strengths, each of which should lead a tenth of the way on, at least.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring_editing import inpainting, lengths, variations
from measuring_editing.cases import draw_cases

from stable_audio_open.data.manifest import read_manifest
from stable_audio_open.pretrained import StableAudio

PARTS = ("inpainting", "loops", "long", "variations")
LOOPS = (1.5, 2.0, 4.5)
"""Seconds of loops."""
LONG = 8.0
"""Seconds of long sounds."""
VARIED = 10
"""Recordings that are varied, at most."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="any source of a whole model")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--resampling", type=int, default=2, help="as of `inpaint`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="measure this part; may be given again"
    )
    options = parser.parse_args()
    try:
        recordings = read_manifest(options.data, "manifest.jsonl")
        model = StableAudio.from_pretrained(options.model, device="cpu", dtype="float32")
        cases = draw_cases(
            recordings,
            options.data,
            count=options.cases,
            rate=model.sample_rate,
            window=model.window_samples,
            seed=options.seed,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    common: dict[str, Any] = {
        "steps": options.steps,
        "seed": options.seed,
        "told": lambda line: print(line, file=sys.stderr),
    }
    captions = [case.caption for case in cases]
    measures: dict[str, Callable[[], Any]] = {
        "inpainting": lambda: inpainting.measure(
            model, cases, resampling=options.resampling, **common
        ),
        "loops": lambda: lengths.measure_loops(model, captions, durations=LOOPS, **common),
        "long": lambda: lengths.measure_long(model, captions, duration=LONG, **common),
        "variations": lambda: variations.measure_variations(model, cases[:VARIED], **common),
    }
    measured = {name: getattr(options, name) for name in ("steps", "resampling", "seed")}
    measured |= {name: measures[name]() for name in options.only or PARTS}
    text = json.dumps(measured, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
