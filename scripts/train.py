"""Train a model: `python scripts/train.py --config FILE [key=value ...]`.

The same as `stable-audio-open train`.
"""

import sys

from stable_audio_open.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
