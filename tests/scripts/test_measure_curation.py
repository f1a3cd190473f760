import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "measure_curation.py"


def measured(*arguments: object) -> str:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_metadata(tmp_path: Path) -> None:
    shown = measured("metadata", "--folder", tmp_path, "--scale", 0.0005)
    assert shown.count(" MiB (") == 6
    assert "236 records, 0 with a file)" in shown
    assert "(7 prompts, " in shown
    seconds = [float(value) for value in re.findall(r": ([\d.]+) s, peak", shown)]
    total = re.search(r"in all ([\d.]+) s", shown)
    assert total is not None
    assert abs(float(total[1]) - sum(seconds)) < 0.5


@pytest.mark.slow
def test_duplicates() -> None:
    assert "10 groups found; extrapolated to 486492" in measured("duplicates", "--items", 1000)
