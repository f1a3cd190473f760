"""README's "Train" and "Fine-tune", command by command, as printed, in few steps, eager."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.needs import BUGFIX_RELEASE, needs_compiler
from tests.printed import ROOT, all_blocks

pytestmark = [pytest.mark.slow, needs_compiler]

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


def commands(name: str) -> list[str]:
    """Return the commands of the one block in which a name comes first."""
    [found] = [block.commands for block in all_blocks("sh") if name in block.commands[0]]
    return found


# The bundled model from its recordings to a sound; a loop of one's own; an adapter; inpainting.
TRAIN = next(b.commands for b in all_blocks("sh") if "autoencoder_decoder" in b.text)
FLOW = commands("tiny/flow.json")
FEW_STEPS = commands("flow_few_steps")
LOOP = commands("finetune_loop")
INPAINTING = commands("transformer.inpainting")
ADAPTER = commands("workshop")


def shorter(command: str, package: Path) -> str:
    """The command with fewer steps and prompts, on recordings that are here."""
    if "prepare_sonic_pi" in command:
        return f"{command} --source {package}"
    if "flow_few_steps" in command:
        # One step of each loss.
        command += " training.adversarial.warm_up.steps=1"
    if "measure_few_steps" in command:
        return f"{command} --seeds 0 --variations 1 --steps 1 --many 2"
    if "scripts/train.py" in command:
        # The second run of a pair, which says how long, goes on from the first.
        steps = 4 if re.search("max_steps=[0-9]{4}", command) else 2
        steps = 3 if "flow_few_steps" in command else steps
        command = re.sub(r" training\.trainer\.max_steps=\d+", "", command)
        # Compiling at the printed size takes minutes: every configuration is compiled, but smaller,
        # in training/test_shipped_configs.py.
        return f"{command} training.trainer.max_steps={steps} training.trainer.compile=false"
    if "measure_tiny" in command:
        command = re.sub(r" --prompts \d+", "", command)
        return f"{command} --prompts 2 --steps 2"
    if "finetune_loop" in command:
        return re.sub(r"--steps \d+", "--steps 2", command)
    return f"{command} --steps 2" if " generate " in command else command


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decaying tones in the place and under names of Sonic Pi's samples."""
    folder = tmp_path_factory.mktemp("package")
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


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Path:
    """What the commands leave behind, all of them run in their order at the top of a checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | BUGFIX_RELEASE
    for command in [*TRAIN, *FLOW, *FEW_STEPS, *LOOP, *ADAPTER, *INPAINTING]:
        short = shorter(command, package)
        done = subprocess.run(
            ["bash", "-c", short],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Warning" not in done.stderr, f"{command}\n{done.stderr}"
    return folder


def test_the_sounds_at_the_end_have_their_level_and_length(workplace: Path) -> None:
    for name in ("kick.wav", "kick_flow.wav", "kick_few_steps.wav", "swash.wav"):
        samples, rate = soundfile.read(workplace / name)
        assert (rate, samples.shape) == (RATE, (2 * RATE, 2))
        level = 20 * math.log10(np.sqrt(np.square(samples).mean()))
        assert -50 < level < -3
        assert np.abs(samples).max() <= 1


def test_every_run_took_its_steps(workplace: Path) -> None:
    runs = {path.name: path for path in (workplace / "runs").iterdir()}
    steps = {"tiny-autoencoder": 4, "tiny": 4, "tiny-autoencoder-decoder": 2, "workshop": 2}
    steps |= {"tiny-flow": 2, "tiny-flow-few-steps": 3, "tiny-inpainting": 2}
    assert set(runs) == set(steps)
    for name, folder in runs.items():
        newest = max(folder.glob("checkpoints/0*.ckpt"))
        assert newest.name == f"{steps[name]:08d}.ckpt"


def test_the_loop_and_the_adapter_are_written(workplace: Path) -> None:
    assert (workplace / "my_model" / "config.json").is_file()
    assert (workplace / "workshop_lora" / "adapter_config.json").is_file()
