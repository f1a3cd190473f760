"""`stable-audio-open doctor`: what works here, and what to do about what does not."""

from typing import TYPE_CHECKING, Annotated

import typer

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import echo, one_line

if TYPE_CHECKING:
    from stable_audio_open.jobs.doctor.examination import Examination

MARKS = {"ok": "ok", "missing": "-", "warning": "!", "fault": "FAULT"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: options.Device = None,
    dtype: options.MeasuredDtype = "float32",
) -> None:
    """Look at packages, devices and folders, and run the bundled model once (ten seconds).

    Ends with code 1 where something does not work.
    """
    import msgspec

    from stable_audio_open.jobs.doctor.examination import examine

    found = examine(device=device, dtype=dtype)
    if as_json:
        echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(found)
    if found.faults:
        raise typer.Exit(1)


def _print(found: "Examination") -> None:
    echo(f"stable-audio-open {found.version}")
    for section in found.sections:
        echo(f"\n{section.name}")
        for one in section.findings:
            line = f"{one.subject}: {one.detail}"
            shown = one_line(line if one.remedy is None else f"{line}; {one.remedy}")
            echo(f"  {MARKS[one.state]:5} {shown}")
    echo()
    echo("all works" if not found.faults else f"{found.faults} do not work: see FAULT above")
