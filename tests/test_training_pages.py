"""The pages on training and what comes of it, as printed, in few steps, eager."""

import importlib.util
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
from tests.printed import ROOT, TRAINING_PAGES, blocks, is_excerpt, run_commands
from tests.tones import RATE, save_tones

pytestmark = [pytest.mark.slow, needs_compiler]

MUSICNN = importlib.util.find_spec("musicnn") is not None


def shorter(command: str, package: Path) -> str:
    """The command with fewer steps and prompts, on recordings that are here."""
    if "prepare_sonic_pi" in command:
        return f"{command} --source {package}"
    if "awk" in command:
        # Two of eight recordings are held out.
        return command.replace("NR % 7", "NR % 4")
    if "flow_few_steps" in command:
        # One step of each loss.
        command += " training.adversarial.warm_up.steps=1"
    if "measure_few_steps" in command:
        return f"{command} --seeds 0 --variations 1 --steps 1 --many 2"
    if command.startswith("stable-audio-open train"):
        return command
    if "training.batch_size=4" in command:
        # Elsewhere than the run of "Train", whose batches are of another size.
        command += " training.trainer.name=configured"
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
    return save_tones(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Path:
    """What the commands leave behind, all of them run in their order at the top of a checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | BUGFIX_RELEASE
    everything = [block for page in TRAINING_PAGES for block in blocks(page)]
    shown = ""
    for block in everything:
        commands = [
            shorter(c, package) for c in run_commands(block) if MUSICNN or "musicnn" not in c
        ]
        if block.language == "python" and not is_excerpt(block):
            (folder / "code.py").write_text(block.text.replace("steps=20", "steps=2"))
            commands = ["python code.py"]
        for command in commands:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert "Warning" not in done.stderr, f"{command}\n{done.stderr}"
            shown = done.stdout
        if block.language == "":
            assert shown == block.text
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
    steps |= {"tiny-shards": 2, "configured": 2} | ({"judged": 2} if MUSICNN else {})
    assert set(runs) == set(steps)
    for name, folder in runs.items():
        newest = max(folder.glob("checkpoints/0*.ckpt"))
        assert newest.name == f"{steps[name]:08d}.ckpt"


def test_the_loop_shown_is_that_of_the_script() -> None:
    [shown] = [block for block in blocks("docs/finetune.md", "python") if is_excerpt(block)]
    assert "loss = " in shown.text


def test_the_loop_and_the_adapter_are_written(workplace: Path) -> None:
    assert (workplace / "my_model" / "config.json").is_file()
    assert (workplace / "workshop_lora" / "adapter_config.json").is_file()


def test_models_are_exported(workplace: Path) -> None:
    assert (workplace / "for_sat" / "model_config.json").is_file()
    assert (workplace / "folder" / "model.fp16.safetensors").is_file()
