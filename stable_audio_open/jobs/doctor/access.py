"""Where files can be written, and whether the hub knows who asks."""

import tempfile
from pathlib import Path

import psutil

from stable_audio_open.jobs.doctor.finding import Finding

GB = 10**9
LITTLE = 10 * GB
"""Bytes; the published model with its text encoder takes 5.3 GB."""


def access_findings() -> list[Finding]:
    """Return one finding for each folder that is written to, and one for the hub."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return [
        folder_finding("this folder", Path.cwd()),
        folder_finding("temporary files", Path(tempfile.gettempdir())),
        folder_finding(
            "models of the hub", Path(HF_HUB_CACHE), remedy="set HF_HOME to another folder"
        ),
        hub_finding(),
    ]


def folder_finding(subject: str, folder: Path, *, remedy: str = "choose another folder") -> Finding:
    """Say whether a folder, or the nearest that exists above it, can be written to."""
    above = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    try:
        with tempfile.NamedTemporaryFile(dir=above):
            pass
    except OSError as error:
        detail = f"{folder} cannot be written to ({error.strerror})"
        return Finding(subject=subject, state="fault", detail=detail, remedy=remedy)
    free = psutil.disk_usage(str(above)).free
    detail = f"{folder}, {free / GB:.0f} GB free"
    if free < LITTLE:
        return Finding(subject=subject, state="warning", detail=detail, remedy=remedy)
    return Finding(subject=subject, state="ok", detail=detail)


def hub_finding() -> Finding:
    """Say whether a token of the hub is stored; nothing is sent."""
    from huggingface_hub import get_token

    if get_token() is None:
        return Finding(
            subject="hub login",
            state="missing",
            detail="no token is stored, which models that ask for consent need",
            remedy="hf auth login",
        )
    return Finding(subject="hub login", state="ok", detail="a token is stored (not tried)")
