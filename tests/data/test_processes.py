"""What the first process does for all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stable_audio_open.data.processes import JoinedProcesses

SCRIPT = """
from stable_audio_open.data.processes import joined_processes

def fail():
    raise OSError("no weights")

with joined_processes() as processes:
    found = [processes.in_first(lambda: processes.rank + 7)]
    try:
        processes.in_first(fail)
    except (OSError, ValueError) as error:
        found += [type(error).__name__, str(error)]
    found.append(processes.in_first(lambda: "goes on"))
    print(f"{processes.rank} {found}\\n", end="")
"""


def test_alone_it_works_and_fails_as_it_is() -> None:
    def fail() -> None:
        raise OSError("no weights")

    assert JoinedProcesses().in_first(lambda: 7) == 7
    with pytest.raises(OSError, match=r"^no weights$"):
        JoinedProcesses().in_first(fail)


@pytest.mark.slow
def test_the_others_wait_for_the_first_and_hear_why_it_failed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    words = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py")
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "0 [7, 'OSError', 'no weights', 'goes on']",
        "1 [None, 'ValueError', 'the first process cannot go on: no weights', None]",
    ]
