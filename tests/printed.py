"""What README and the pages of `docs/` print: code, commands, files and what commands show."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
)

SOUND_PAGES = ("docs/generate.md", "docs/edit.md", "docs/troubleshooting.md")
"""Run by test_sound_pages.py, each in a folder of its own."""

TRAINING_PAGES = (
    *("docs/train.md", "docs/finetune.md", "docs/export.md"),
    *("docs/evaluate.md", "docs/configuration.md"),
)
"""Run by test_training_pages.py, in this order in one folder."""

DATA_PAGE = "docs/data.md"
"""Run by test_data_page.py."""

SERVICE_PAGE = "docs/serve.md"
"""Run by service/http/test_service_page.py."""

PAGES_WITH_COMMANDS = (*SOUND_PAGES, *TRAINING_PAGES, DATA_PAGE, SERVICE_PAGE)
"""All that have commands; code of the others is run by test_docs.py."""

PUSHES = " --push "
"""Part of the commands that cli/test_export_push.py runs, against a hub of its own."""

INSTALLS = "installs from the network; .ci/run installs the project so"
PROCESSES = "eight GPUs; tests of two processes run it on CPUs"
PUBLISHED = "GPUs; training/test_shipped_configs.py trains it in a smaller size"
SLURM = "needs SLURM"
WEIGHTS = "weights that are downloads; tests of the command have small ones"

NOT_RUN = {
    "pip install .": INSTALLS,
    'pip install ".[dev]"': INSTALLS,
    'pip install ".[ui]"': INSTALLS,
    "pip install --no-deps musicnn==0.1.0": INSTALLS,
    'pip install "torch<2.12" "torchaudio<2.11.1" --index-url '
    "https://download.pytorch.org/whl/cpu": INSTALLS,
    "pytest": "it is what runs here",
    "torchrun --nproc-per-node 8 --no-python stable-audio-open generate --jobs prompts.csv "
    "--output many": PROCESSES,
    "torchrun --nproc-per-node 8 --no-python stable-audio-open encode --config "
    "configs/stable_audio_open_1_0/diffusion.json --output data/latents": PROCESSES,
    "torchrun --nproc-per-node 8 scripts/train.py --config "
    "configs/stable_audio_open_1_0/diffusion.json training.trainer.devices=8 "
    "training.trainer.strategy=ddp": PROCESSES,
    "python scripts/train.py --config configs/stable_audio_open_1_0/autoencoder.json "
    "training.trainer.strategy=ddp training.trainer.precision=bf16-mixed": PUBLISHED,
    "python scripts/train.py --config configs/stable_audio_open_1_0/autoencoder_decoder.json "
    "training.trainer.strategy=ddp": PUBLISHED,
    "sbatch configs/cluster/a100_8x8.sbatch": SLURM,
    "CONFIG=configs/stable_audio_open_1_0/autoencoder.json sbatch --nodes=4 "
    "configs/cluster/a100_8x8.sbatch training.trainer.nodes=4 training.trainer.devices=8 "
    "training.trainer.strategy=ddp": SLURM,
    "stable-audio-open curate duplicates catalogue --audio freesound/audio --embedder "
    "clap:clap-htsat-fused --threshold 0.95": WEIGHTS,
    "stable-audio-open evaluate protocol tiny --prompts test.csv --protocol audiocaps "
    "--references clips --frechet openl3:openl3_audio_mel256_env.h5 --kl "
    "passt:passt-s-f128-p16-s10-ap.476-swa.pt --clap clap:630k-audioset-fusion-best.pt "
    "--output out": WEIGHTS,
    "stable-audio-open evaluate protocol tiny --prompts test.csv --protocol audiocaps --part "
    "generation --frechet openl3:openl3_audio_mel256_env.h5 --frechet-reference audiocaps.npz "
    "--kl passt:passt-s-f128-p16-s10-ap.476-swa.pt --kl-reference audiocaps.pkl "
    "--output out": WEIGHTS,
    "stable-audio-open export stabilityai/stable-audio-open-1.0 --to diffusers "
    "--output for_diffusers": "gated weights on the hub",
    "ingest       165 records, 165 with a file; 0 rejects": "the 165 recordings are a download; "
    "the command runs on a few others",
    "config/         typed, frozen configuration; never torch": "no output: a list of rooms",
}
"""Commands, and first lines of what they show, that no test runs or compares, with the reason."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    """"sh", "python", that of a file, or nothing for what a command shows."""
    title: str
    """The name of a file; empty for all else."""
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a shell's block; those that `&&` joins stand apart."""
        lines = self.text.splitlines() if self.language == "sh" else []
        return [part.strip() for line in lines for part in line.split("&&")]

    @property
    def names(self) -> list[str]:
        """What it is listed by: its commands, or its first line where it has none."""
        return self.commands or self.text.splitlines()[:1]


def blocks(page: str, language: str | None = None) -> list[Block]:
    """Return the blocks of a page in their order, or those of a language."""
    text = (ROOT / page).read_text("utf-8")
    fenced = r'^```(\w*)(?: title="(.*?)")?\n(.*?)^```$'
    found = [Block(page, *parts) for parts in re.findall(fenced, text, re.DOTALL | re.MULTILINE)]
    return [block for block in found if language in (None, block.language)]


def all_blocks(language: str | None = None) -> list[Block]:
    """Return the blocks of all pages, README's first."""
    return [block for page in PAGES for block in blocks(page, language)]


def run_commands(block: Block) -> list[str]:
    """Return the commands of a block that the test of its page runs."""
    return [c for c in block.commands if c not in NOT_RUN and PUSHES not in c]


def words(command: str) -> list[str]:
    """Return the arguments of a command of `stable-audio-open`."""
    program, *arguments = shlex.split(command)
    assert program == "stable-audio-open"
    return arguments


def is_excerpt(block: Block) -> bool:
    """Say whether code is shown of a script, which runs as a whole."""
    scripts = (path.read_text("utf-8") for path in sorted((ROOT / "scripts").rglob("*.py")))
    return any(block.text in script for script in scripts)
