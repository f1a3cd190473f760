"""Prepare the recordings that the bundled model is trained on, from packages of free sounds.

    python scripts/prepare_bundled.py --output data/bundled

Packages of Debian are fetched by `apt-get download`, each recording under the licence that their
copyright file (DEP-5) gives it, and one of npm is fetched from its registry. CC0, public domain and
CC-BY stand; other licences, music, speech and copies are left out by name. Captions come from the
names of files by `scripts/bundled/captions.csv`. A tenth of each family is held out. Written:
`audio/`, `train.jsonl`, `held_out.jsonl`, `prompts.csv` (other words for `generate --jobs`, each
file named by its family), `ATTRIBUTIONS.md`, `attributions.csv` and `summary.md`; `sources/` and
`catalogue/` hold the packages and all decisions.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bundled import npm
from bundled.curate import curate
from bundled.output import write
from bundled.rules import TABLE, read_rules
from bundled.summary import summary

from stable_audio_open.files.atomic import replace_bytes

PACKAGES = (
    npm.PACKAGE,
    "sonic-pi-samples",
    "endless-sky-data",
    "marsshooter-data",
    "minetest-data",
    "naev-data",
    "sound-theme-freedesktop",
    "supertuxkart-data",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when the folder was written, 1 after an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--packages",
        nargs="+",
        default=PACKAGES,
        metavar="PACKAGE",
        help="unpacked in OUTPUT/sources, fetched where they are not there (1.2 GB in all)",
    )
    parser.add_argument("--captions", type=Path, default=TABLE, help="table of patterns and words")
    parser.add_argument(
        "--small",
        action="store_true",
        help="write what is trained on as Ogg Vorbis, in a third of the bytes and with losses",
    )
    options = parser.parse_args(arguments)
    output: Path = options.output
    try:
        rules = read_rules(options.captions)
        # Made anew, but for what was downloaded: decisions of another table would stand.
        for name in ("catalogue", "audio"):
            shutil.rmtree(output / name, ignore_errors=True)
        curated = curate(options.packages, output / "sources", output / "catalogue", rules)
        seconds = write(output, curated.kept, small=options.small)
        text = summary(curated, options.packages, seconds)
        replace_bytes(output / "summary.md", text.encode())
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(text, end="")
    print(f"{len(curated.kept)} recordings, {sum(seconds.values()):.0f} s, in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
