"""Commands and code of README and `docs/`, as printed."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from stable_audio_open.audio.files import audio_info
from stable_audio_open.checkpoint.lora.adapter import Adapter, save_adapter
from stable_audio_open.cli.main import main
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.pretrained import StableAudio
from tests.printed import ROOT, all_blocks, all_commands, words

README = (ROOT / "README.md").read_text()
COMMANDS = [c for c in all_commands() if c.startswith("stable-audio-open")]
FINETUNE_LOOP = (ROOT / "scripts" / "finetune_loop.py").read_text()
MADE = ("generate", "interpolate", "inpaint", "extend")
BUNDLED = [c for c in COMMANDS if "my_tiny" not in c and words(c)[0] in MADE]
(TABLE,) = [block.text for block in all_blocks("csv")]


def test_the_first_screen_holds_the_two_commands() -> None:
    first_screen = README.splitlines()[:25]
    assert (
        'pip install . && stable-audio-open generate "deep kick drum" --duration 2 '
        "--output kick.wav"
    ) in first_screen
    assert 'pip install ".[dev]" && pytest' in first_screen


@pytest.mark.slow
def test_generation_commands_run_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In their order, with fewer steps; the first makes the file that others start from."""
    assert len(BUNDLED) >= 3
    monkeypatch.chdir(tmp_path)
    Path("prompts.csv").write_text(TABLE)
    for command in BUNDLED:
        code = main([*words(command), "--steps", "3"])
        assert code == 0, (command, capsys.readouterr().err)
    assert audio_info(tmp_path / "kick.wav").duration == 2.0
    assert len(list((tmp_path / "sounds").glob("*.wav"))) == 2
    assert audio_info(tmp_path / "long.flac").duration == 8.0
    assert audio_info(tmp_path / "loop.wav").duration == 2.0
    assert len(list((tmp_path / "drums").glob("*.flac"))) == 2
    assert len(list((tmp_path / "many").glob("*.wav"))) == 2
    assert audio_info(tmp_path / "again.flac").duration == 2.0
    assert audio_info(tmp_path / "longer.wav").duration == 2.9
    assert len(list((tmp_path / "way").glob("*.wav"))) == 4


def test_other_commands_run_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    main(["generate", "kick drum", "--duration", "1", "--steps", "2", "--output", "kick.wav"])
    for name in ("reconstruct", "regenerate", "info"):
        (command,) = [c for c in COMMANDS if words(c)[0] == name]
        assert main(words(command)) == 0, (command, capsys.readouterr().err)
    shown = capsys.readouterr().out
    assert "kick_again.wav: 1.00 s, the same samples as kick.wav" in shown
    assert "1,056,939,152" in shown


@pytest.mark.slow
def test_the_estimate_is_the_printed_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (command,) = [c for c in COMMANDS if "--estimate" in c]
    assert main(words(command)) == 0
    assert capsys.readouterr().out in [block.text for block in all_blocks("")]


def test_training_commands_name_configurations_that_read() -> None:
    commands = [command for command in all_commands() if "scripts/train.py" in command]
    assert len(commands) >= 3
    for command in commands:
        parts = shlex.split(command)
        script, flag, config, *overrides = parts[parts.index("scripts/train.py") :]
        assert (ROOT / script).is_file()
        assert flag == "--config"
        assert read_config(ROOT / config, overrides).training is not None


def test_encoding_commands_name_configurations_on_recordings() -> None:
    commands = [c for c in all_commands() if "stable-audio-open encode" in c]
    assert len(commands) == 2
    for command in commands:
        _, _, arguments = command.partition("stable-audio-open encode ")
        flag, config, *output = shlex.split(arguments)
        assert (flag, output) == ("--config", ["--output", "data/latents"])
        assert isinstance(read_config(ROOT / config).data, FolderConfig)


def test_the_loop_shown_is_that_of_the_script() -> None:
    (shown,) = [b.text for b in all_blocks("python") if "islice(batches()" in b.text]
    assert shown in FINETUNE_LOOP


def save_adapter_of_tiny(folder: Path) -> None:
    """As the commands of "Fine-tune" make one in minutes, of one layer of two blocks."""
    transformer = StableAudio.from_pretrained("tiny", device="cpu").transformer
    width = transformer.input_projection.out_features
    layers = dict.fromkeys((f"blocks.{i}.self_attention.output" for i in (0, 1)), width)
    down = {name: torch.full((1, width), 1e-3) for name, width in layers.items()}
    up = {name: torch.full((width, 1), 1e-3) for name, width in layers.items()}
    settings = {"peft_type": "LORA", "r": 1, "lora_alpha": 1}
    save_adapter(Adapter(down, up, scale=1.0, settings=settings, source=""), folder)


@pytest.mark.slow
def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_adapter_of_tiny(tmp_path / "workshop_lora")
    blocks = [block.text for block in all_blocks("python") if block.page == "README.md"]
    code = "\n".join(block for block in blocks if block not in FINETUNE_LOOP)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    exec(re.sub(r"steps=[25]0", "steps=3", code), names)
    assert audio_info(tmp_path / "tabla.wav").duration == 2.0
    assert [names[name].duration for name in ("long", "loop")] == [8.0, 2.0]  # type: ignore[attr-defined]
    waveform = names["waveform"]
    assert isinstance(waveform, torch.Tensor)
    assert waveform.shape[:2] == (1, 2)
