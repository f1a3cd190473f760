"""Every block and command of README and `docs/` is run by a test, or listed with the reason."""

import re
import shlex

import pytest

from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.read import read_config
from tests.printed import (
    DATA_PAGE,
    NOT_RUN,
    PAGES,
    PAGES_WITH_COMMANDS,
    ROOT,
    SERVICE_PAGE,
    SOUND_PAGES,
    TRAINING_PAGES,
    Block,
    all_blocks,
    blocks,
)

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = dict.fromkeys(command for block in all_blocks() for command in block.commands)
SCREEN = 45
"""Lines."""


def named(block: Block) -> str:
    return f"{block.page} {block.names[0][:40]}"


def test_the_first_screen_holds_the_two_commands() -> None:
    first_screen = README.splitlines()[:25]
    assert (
        'pip install . && stable-audio-open generate "deep kick drum" --duration 2 '
        "--output kick.wav"
    ) in first_screen
    assert 'pip install ".[dev]" && pytest' in first_screen


@pytest.mark.parametrize("section", README.split("\n## ")[1:], ids=lambda text: text.split("\n")[0])
def test_a_section_is_at_most_a_screen(section: str) -> None:
    assert section.count("\n") <= SCREEN


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_is_a_block(page: str) -> None:
    """None is missed because it is indented, or of another form."""
    text = (ROOT / page).read_text("utf-8")
    assert len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(blocks(page))


@pytest.mark.parametrize("block", [b for b in all_blocks() if b.page != "README.md"], ids=named)
def test_every_block_stands_where_its_kind_is_run(block: Block) -> None:
    if block.language == "sh":
        assert block.page in PAGES_WITH_COMMANDS
    elif block.language == "python":  # of pages without commands by test_docs.py
        assert block.page not in (DATA_PAGE, SERVICE_PAGE)
    elif block.language == "csv":
        assert block.title
        assert block.page in SOUND_PAGES
    else:
        assert block.language == ""
        assert block.page in TRAINING_PAGES or block.names[0] in NOT_RUN


@pytest.mark.parametrize("block", blocks("README.md"), ids=named)
def test_what_readme_prints_is_run_on_another_page(block: Block) -> None:
    elsewhere = [other for page in PAGES[1:] for other in blocks(page)]
    if block.language == "sh":
        run = {command for other in elsewhere for command in other.commands}
        assert [name for name in block.commands if name not in run | NOT_RUN.keys()] == []
    else:
        assert block.text in {other.text for other in elsewhere} or block.names[0] in NOT_RUN


def test_what_is_listed_is_there() -> None:
    there = {name for block in all_blocks() for name in block.names}
    assert [name for name in NOT_RUN if name not in there] == []
    assert all(NOT_RUN.values())


def test_training_commands_name_configurations_that_read() -> None:
    """Those that are not run, too."""
    commands = [command for command in COMMANDS if "scripts/train.py" in command]
    assert len(commands) >= 10
    for command in commands:
        parts = shlex.split(command)
        script, flag, config, *overrides = parts[parts.index("scripts/train.py") :]
        assert (ROOT / script).is_file()
        assert flag == "--config"
        assert read_config(ROOT / config, overrides).training is not None


def test_encoding_commands_name_configurations_on_recordings() -> None:
    commands = [command for command in COMMANDS if "stable-audio-open encode" in command]
    assert len(commands) == 2
    for command in commands:
        _, _, arguments = command.partition("stable-audio-open encode ")
        flag, config, *output = shlex.split(arguments)
        assert (flag, output) == ("--config", ["--output", "data/latents"])
        assert isinstance(read_config(ROOT / config).data, FolderConfig)


@pytest.mark.parametrize("command", [name for name in NOT_RUN if "sbatch" in name])
def test_scripts_of_a_cluster_are_there(command: str) -> None:
    (script,) = (word for word in shlex.split(command) if word.endswith(".sbatch"))
    assert (ROOT / script).is_file()
