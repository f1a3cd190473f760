import subprocess
import sys

import pytest

import stable_audio_open

HEAVY = (
    "torch",
    "torchaudio",
    "transformers",
    "pytorch_lightning",
    "wandb",
    "k_diffusion",
    "matplotlib",
)


def test_the_import_is_light() -> None:
    code = f"import sys, stable_audio_open; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_using_the_api_imports_nothing_heavy_but_torch() -> None:
    unwanted = [name for name in HEAVY if name != "torch"]
    code = (
        "import sys\nfrom stable_audio_open import *\n"
        f"print([m for m in {unwanted} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    for name in stable_audio_open.__all__:
        assert name in dir(stable_audio_open)
        assert getattr(stable_audio_open, name).__class__.__name__ in ("type", "function", "str")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'stable_audio_open' has no attribute 'lode'"):
        stable_audio_open.lode  # noqa: B018


@pytest.mark.slow
def test_a_source_tree_works_where_it_is_not_installed() -> None:
    code = (
        "import importlib.metadata as metadata\n"
        "own = metadata.distribution\n"
        "def distribution(name):\n"
        "    if name == 'stable-audio-open': raise metadata.PackageNotFoundError(name)\n"
        "    return own(name)\n"
        "metadata.distribution = distribution\n"
        "import stable_audio_open.jobs.train, stable_audio_open.checkpoint.hub.card\n"
        "from stable_audio_open.cli.main import main\n"
        "main(['--version'])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == (f"{stable_audio_open.__version__}\n", "")
