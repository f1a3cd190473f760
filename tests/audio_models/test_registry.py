import pickle
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from stable_audio_open.audio_models.registry import (
    EMBEDDERS,
    JOINT_EMBEDDERS,
    MUSIC_TAGGERS,
    TAGGERS,
    Role,
)

ALONE = """
import pkgutil, socket, sys
from importlib import import_module
import stable_audio_open.audio_models as audio_models

def refuse(*_, **__):
    raise AssertionError("an import reached for the network")

socket.socket.connect = socket.getaddrinfo = refuse
for module in pkgutil.walk_packages(audio_models.__path__, "stable_audio_open.audio_models."):
    import_module(module.name)
print([name for name in ("hear21passt", "timm", "h5py", "keras", "musicnn") if name in sys.modules])
"""


@pytest.mark.slow
def test_imports_fetch_nothing_and_leave_the_extras_alone() -> None:
    run = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "[]\n"), run.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openl3:none.h5", "none.h5: no such file; download openl3_audio_mel256_env-v0_4_0.h5.gz"),
        ("passt:none.pt", "none.pt: no such file; download passt-s-f128-p16-s10-ap.476-swa.pt"),
        ("panns:none.pth", "none.pth: no such file; download Cnn14_mAP=0.431.pth of PANNs from ht"),
        ("clap:none.pt", "none.pt: no such folder or file; download 630k-audioset-fusion-best.pt"),
        ("openl3", "no embedder 'openl3'; allowed: clap:FOLDER, clap:FILE.pt, openl3:FILE.h5, p"),
    ],
)
def test_what_is_missing_is_named_with_its_download(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        EMBEDDERS.load(name)
    if name.startswith("pa"):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            TAGGERS.load(name)


@pytest.mark.parametrize(
    "content", [b"", b"weights", b"<html>404</html>", b"\x80\x02]", b"(dp0\n."]
)
@pytest.mark.parametrize("name", ["passt", "panns", "clap"])
def test_files_of_another_kind_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"^\S+file\.pt: (cannot be read as a chec|holds no )"
    ) as e:
        EMBEDDERS.load(f"{name}:{path}")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "unknown device 'gpu'; choose from auto, cpu, cuda, mps"),
        ("cuda:99", "device 'cuda:99' is not here (found "),
    ],
)
@pytest.mark.parametrize("role", [EMBEDDERS, TAGGERS])
def test_devices_that_are_not_here(role: Role[object], device: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        role.load("panns:none.pth", device=device)


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        (EMBEDDERS, "log-mel:x", "no embedder 'log-mel:x'; allowed: "),
        (EMBEDDERS, "clap:", "no embedder 'clap:'; allowed: "),
        (
            TAGGERS,
            "clap:x",
            "no tagger 'clap:x'; allowed: passt:FILE.pt, panns:FILE.pth, musicnn, ",
        ),
        (MUSIC_TAGGERS, "passt:x", "no tagger 'passt:x'; allowed: panns:PATH, musicnn, musicnn:W"),
        (JOINT_EMBEDDERS, "log-mel", "log-mel: has no text side; use clap:FOLDER or clap:FILE.pt"),
        (JOINT_EMBEDDERS, "x", "no embedder of audio and text 'x'; allowed: clap:FOLDER, clap:FIL"),
    ],
)
def test_each_role_lists_what_it_takes(role: Role[object], name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        role.load(name)


def test_a_role_goes_to_workers() -> None:
    """Engines pickle what loads a model in each process."""
    load = pickle.loads(pickle.dumps(partial(EMBEDDERS.load, "log-mel")))
    assert load().name == EMBEDDERS.load("log-mel").name
