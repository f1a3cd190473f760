"""What a type checker tells a user of the installed package."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.needs import needs_setuptools
from tests.printed import PAGES, ROOT, Block, blocks, is_excerpt

pytestmark = [pytest.mark.slow, needs_setuptools]

COPIED = ("pyproject.toml", "README.md", "LICENSE", "stable_audio_open")

USES = """
from typing import assert_type

import stable_audio_open
from stable_audio_open import Audio, AudioAutoencoder, StableAudio
from torch import Tensor

whole = stable_audio_open.load("tiny", dtype="bfloat16")
assert_type(whole, StableAudio)
assert_type(stable_audio_open.load("a/folder"), StableAudio | AudioAutoencoder)
assert_type(stable_audio_open.load_autoencoder("a/folder"), AudioAutoencoder)
assert_type(AudioAutoencoder.from_pretrained("tiny"), AudioAutoencoder)
assert_type(StableAudio.from_pretrained("tiny"), StableAudio)
assert_type(whole.generate("kick"), Audio)
assert_type(whole.autoencoder, AudioAutoencoder)
assert_type(whole.autoencoder.encode(whole.generate("kick").samples), Tensor)
whole.save_pretrained("folder")
whole.autoencoder.save_pretrained("folder", dtype="float16")
card = stable_audio_open.ModelCard(license="cc0-1.0", measurements=["measured.json"])
assert_type(whole.push_to_hub("owner/model", variant="fp16", card=card), str)
assert_type(whole.autoencoder.push_to_hub("owner/model", max_shard_size="5GB"), str)
assert_type(StableAudio.from_pretrained("owner/model", variant="fp16", revision="v2"), StableAudio)
"""

MISTAKES = {
    'stable_audio_open.lode("tiny")': 'Module has no attribute "lode"',
    'stable_audio_open.load("a/folder").generate("kick")': "not callable",
    'stable_audio_open.load("tiny").generate(3)': "Argument 1 has incompatible type",
    'stable_audio_open.load("tiny").generate("kick", guidence=3)': '"guidence"',
    'stable_audio_open.load("tiny", device=0)': "No overload variant",
}


def code(page: str) -> list[Block]:
    """Return the code of a page without excerpts of scripts, whose types are checked there."""
    return [block for block in blocks(page, "python") if not is_excerpt(block)]


def file_of(page: str) -> str:
    return Path(page).stem.lower() + ".py"


TYPED_PAGES = [page for page in PAGES if code(page)]


@pytest.fixture(scope="module", params=["editable", "copied"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the package installed by pip, and the other packages of this one."""
    folder = tmp_path_factory.mktemp(request.param)
    project, environment = folder / "project", folder / "environment"
    project.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, project / name)
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=folder)
    interpreter = environment / "bin" / "python"
    places = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    # After the package's own, by its name.
    others = Path(places["purelib"]) / "others.pth"
    others.write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    run(
        *(sys.executable, "-m", "pip", "--python", interpreter, "install", "--no-deps"),
        *("--no-build-isolation", "--no-index", "--ignore-installed"),
        *(["--editable"] if request.param == "editable" else []),
        project,
        folder=folder,
    )
    home = run(interpreter, "-c", "import stable_audio_open as s; print(s.__file__)", folder=folder)
    assert Path(home.strip()).is_relative_to(folder)
    return interpreter


def run(*command: object, folder: Path, code: int = 0) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def told(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is told of each script; all of them at once, for what they import takes longest."""
    folder = tmp_path_factory.mktemp("scripts")
    mistakes = ["import stable_audio_open", *MISTAKES]
    texts = {"uses.py": USES, "mistakes.py": "\n".join(mistakes)}
    for page in TYPED_PAGES:
        texts[file_of(page)] = "\n".join(block.text for block in code(page))
    for name, text in texts.items():
        (folder / name).write_text(text)
    cache = python.parents[3] / "mypy_cache"  # for both installations, whose packages are the same
    command = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", cache)
    told = run(*command, "--python-executable", python, *texts, folder=folder, code=1)
    *lines, summary = told.splitlines()
    assert summary.endswith(f"(checked {len(texts)} source files)")
    found = {name: [line for line in lines if line.startswith(f"{name}:")] for name in texts}
    assert sum(map(len, found.values())) == len(lines)
    return found


@pytest.mark.parametrize("page", TYPED_PAGES)
def test_the_blocks_of_a_page_are_typed(told: dict[str, list[str]], page: str) -> None:
    """One after the other."""
    assert told[file_of(page)] == []


def test_what_is_public_is_known_by_its_type(told: dict[str, list[str]]) -> None:
    assert told["uses.py"] == []


def test_mistakes_are_found(told: dict[str, list[str]]) -> None:
    lines = [line for line in told["mistakes.py"] if ": error: " in line]
    for number, (mistake, message) in enumerate(MISTAKES.items(), start=2):
        assert any(f"mistakes.py:{number}: " in line and message in line for line in lines), mistake
    assert len({line.split(":")[1] for line in lines}) == len(MISTAKES)
