import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from stable_audio_open import pretrained
from stable_audio_open.cli.main import main
from stable_audio_open.diffusion.samplers import sampler_names

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def python(code: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True
    )


MAIN = "import sys; from stable_audio_open.cli.main import main; sys.exit(main())"


def test_command_is_installed():
    (command,) = entry_points(group="console_scripts", name="stable-audio-open")
    assert command.load() is main


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["generate"]])
def test_what_needs_no_model_imports_no_torch(arguments: list[str], tmp_path: Path):
    """Help and usage errors answer at once because the slow packages are left alone."""
    code = (
        "import sys; from stable_audio_open.cli.main import main; main(sys.argv[1:]); "
        "print(); print('SLOW', *{'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    result = python(code, *arguments, cwd=tmp_path)
    assert result.stdout.splitlines()[-1].strip() == "SLOW"


def test_help_names_commands_and_exit_codes(run: Run):
    shown = run("--help")
    assert shown.returncode == 0
    for word in ("generate", "reconstruct", "info", "encode", "train", "export", "2 wrong use"):
        assert word in shown.stdout


def test_without_a_command_the_help_is_shown(run: Run):
    shown = run()
    assert shown.returncode == 0
    assert "reconstruct" in shown.stdout


def test_help_names_every_sampler(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "500")
    shown = run("generate", "--help").stdout
    for name in sampler_names():
        assert re.search(rf"\b{name}\b(?!-)", shown), name


def test_version(run: Run):
    assert run("--version").stdout == version("stable-audio-open") + "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generat"], "No such command 'generat'"),
        (
            ["generate"],
            "Invalid value: give a PROMPT, or a table of sounds as --jobs; see stable-audio-open",
        ),
        (["generate", "x", "--stepz", "3"], "No such option: --stepz"),
        (["generate", "x", "--steps", "many"], "Invalid value for '--steps'"),
        (["generate", "x", "--variations", "0"], "Invalid value for '--variations'"),
        (["generate", "x", "--subtype", "pcm8"], "Invalid value for '--subtype'"),
        (["train"], "Missing option '--config'; see stable-audio-open train --help"),
    ],
)
def test_usage_error_is_one_line(run: Run, arguments: list[str], message: str):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(f"stable-audio-open: {message}")
    assert result.stderr.count("\n") == 1
    assert "--help" in result.stderr


FAULTS = {
    "value": (ValueError("bad\n  request"), 2, "bad request"),
    "file": (FileNotFoundError(2, "No such file or directory", "x.bin"), 1,
             "x.bin: No such file or directory"),
    "nan": (FloatingPointError("the model gave NaN"), 1, "the model gave NaN"),
    "memory": (MemoryError(), 1, "out of memory; try fewer sounds at once, a shorter --window or "
               "--dtype bfloat16"),
    "gpu memory": (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1,
                   "out of memory; try fewer sounds at once, a shorter --window or --dtype "
                   "bfloat16"),
    "package": (ModuleNotFoundError("No module named 'scipy'", name="scipy"), 1,
                "package 'scipy' is missing: pip install \"stable-audio-open[train]\""),
    "bug": (TypeError("unforeseen"), 1, "TypeError: unforeseen (unexpected; --debug shows where)"),
    "interrupt": (KeyboardInterrupt(), 130, "interrupted"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_exit_code_and_line_of_every_kind_of_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
):
    fault, code, line = FAULTS[name]

    def fail(*arguments: object, **settings: object) -> None:
        raise fault

    monkeypatch.setattr(pretrained, "load", fail)
    result = run("generate", "kick")
    assert (result.returncode, result.stderr) == (code, f"stable-audio-open: {line}\n")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_shows_the_traceback_wherever_it_stands(run: Run, place: int):
    arguments = ["info", "nowhere.json"]
    arguments.insert(place, "--debug")
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("Traceback (most recent call last)")
    assert result.stderr.splitlines()[-1] == "stable-audio-open: nowhere.json: no such file"


def test_after_two_dashes_debug_is_a_word(run: Run, tiny_model_folder: Path):
    arguments = ["--model", tiny_model_folder, "--steps", 1, "--output", "x.wav"]
    result = run("generate", *arguments, "--", "--debug")
    assert (result.returncode, result.stderr) == (0, "")
    assert '"--debug"' in result.stdout


def test_in_a_process_of_its_own(tmp_path: Path, tiny_model_folder: Path):
    """Nothing but the error reaches the terminal, exit code included."""
    result = python(
        MAIN, "generate", "", "--model", str(tiny_model_folder), "--output", "x.wav", cwd=tmp_path
    )
    assert result.stderr == (
        "stable-audio-open: prompt is empty; describe the sound in a few words\n"
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []
