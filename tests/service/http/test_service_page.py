"""The page on the service, as printed: the command, and curl's requests one after the other."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.needs import needs_curl
from tests.printed import ROOT, SERVICE_PAGE, blocks, run_commands

ADDRESS = "http://127.0.0.1:7860"


@pytest.mark.slow
@needs_curl
def test_serving(tmp_path: Path) -> None:
    serve, *asked = (c for block in blocks(SERVICE_PAGE) for c in run_commands(block))
    program, *arguments = shlex.split(serve)
    assert program == "stable-audio-open"
    here = ["--port", "0", "--device", "cpu", "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    started = [sys.executable, "-m", "stable_audio_open.cli.main", *arguments, *here]
    answers = []
    with subprocess.Popen(
        started, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            address, _, _ = process.stdout.readline().partition(": tiny on cpu")
            name = ""
            # The last one is a job, too, whose end its events tell.
            for command in [*asked, asked[1]]:
                curl = command.replace(ADDRESS, address).replace("/ID/", f"/{name}/")
                curl = curl.replace('"ID"', f'"{name}"').replace('"prompt"', '"steps": 3, "prompt"')
                done = subprocess.run(
                    ["bash", "-c", f"{curl} --fail-with-body --max-time 120"],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
                assert done.returncode == 0, f"{curl}\n{done.stdout}{done.stderr}"
                answers.append(done.stdout)
                if done.stdout.startswith("{"):
                    name = json.loads(done.stdout)["id"]
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
    assert soundfile.info(tmp_path / "kick.flac").duration == 2.0
    for events in (answers[1], answers[-1]):
        told = [json.loads(data) for data in re.findall(r"^data: (.*)$", events, re.MULTILINE)]
        assert told[-1]["event"] == "done"
    assert process.returncode == 0
