"""The pages of `docs/`: their code runs, and what they name is there."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stable_audio_open
from stable_audio_open.checkpoint.weights import precision
from stable_audio_open.nn import device
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.request.sampling_settings import SamplingOptions
from tests.printed import PAGES, PAGES_WITH_COMMANDS, ROOT, blocks

DOCS = ROOT / "docs"
PACKAGE = Path(stable_audio_open.__file__).parent


def cells(page: str) -> list[list[str]]:
    """Return the rows of all tables of a page, heads left out."""
    rows = re.findall(r"^\| (.*) \|$", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    return [re.split(r" \| ", row) for row in rows]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("page", sorted({*PAGES} - {"README.md", *PAGES_WITH_COMMANDS}))
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "fast_dtype", device.fast_dtype)  # as users run them
    monkeypatch.chdir(tmp_path)
    exec("\n".join(block.text for block in blocks(page, "python")), {})


def test_links_of_readme_are_there() -> None:
    linked = re.findall(r"\]\((?!http)(.*?)\)", (ROOT / "README.md").read_text("utf-8"))
    assert len(linked) > 10
    assert [name for name in linked if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("page", ["index.md", "paper.md", "custom_loops.md"])
def test_files_that_are_named_are_there(page: str) -> None:
    named = re.findall(r"`(\w+/[\w/]*(?:\.\w+)?|\w+\.py)`", (DOCS / page).read_text("utf-8"))
    assert len(named) > 5
    missing = [
        name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()
    ]
    assert missing == []


def test_every_section_of_the_paper_has_a_row() -> None:
    sections = {row[0] for row in cells("paper.md")}
    wanted = ["2", "2.1", "2.2", "2.3", "3", "3.1", "3.2", "4", "4.1", "4.2"]
    assert {*wanted, "5.1", "5.2", "5.3", "5.4", "A", "B", "C"} <= sections


def test_every_argument_of_the_other_pipeline_has_a_row() -> None:
    diffusers = pytest.importorskip("diffusers")
    arguments = list(inspect.signature(diffusers.StableAudioPipeline.__call__).parameters)[1:]
    rows = {row[0].strip("`") for row in cells("from_diffusers.md")}
    assert [name for name in arguments if name not in rows] == []


@pytest.mark.parametrize("page", ["from_diffusers.md", "from_stable_audio_tools.md"])
def test_arguments_of_ours_that_pages_name_are_there(page: str) -> None:
    calls = (StableAudio.generate, StableAudio.inpaint, stable_audio_open.load)
    known = {name for call in calls for name in inspect.signature(call).parameters}
    known |= {
        *stable_audio_open.__all__,
        *SamplingOptions.__annotations__,
        *dir(StableAudio),
        *dir(stable_audio_open.Audio),
    }
    named = {name for row in cells(page) for name in re.findall(r"`(\w+)`", row[1])}
    assert named - known == set()


def literals() -> str:
    """Return all texts of the package; what is filled in stands as one space."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(
                        part.value if isinstance(part, ast.Constant) else " "
                        for part in node.values  # type: ignore[misc]
                    )
                )
    return "\n".join(found)


def test_messages_that_are_explained_exist() -> None:
    texts = literals()
    named = [name for row in cells("troubleshooting.md")[1:] for name in code(row[0])]
    assert len(named) > 8
    assert [name for name in named if name not in texts] == []


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "reference" / "sampling" / "index.html").read_text("utf-8")
    assert "guidance_scale" in page
    # Nothing that a reader opens is fetched from another host.
    for file in tmp_path.rglob("*.html"):
        fetched = re.findall(r'(?:src|<link[^>]* href)="(https?://[^"]+)"', file.read_text("utf-8"))
        assert fetched == []
