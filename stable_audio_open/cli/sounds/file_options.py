"""Options that say where sounds go, and in which form."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stable_audio_open.cli import options

if TYPE_CHECKING:
    from stable_audio_open.audio.finishing import Finishing
    from stable_audio_open.files.patterns import NamePattern
    from stable_audio_open.jobs.target import Target

STEREO = 2
"""Channels that most models make."""


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Where sounds go, and in which form."""

    output: options.Output = Path()
    overwrite: options.Overwrite = False
    name: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help='Names of files in a folder, such as "{index:03d}_{prompt}_{seed}.flac".',
            show_default="{prompt}_{seed}.wav",
        ),
    ] = None
    trim_silence: Annotated[
        bool,
        typer.Option("--trim-silence", help="Cut off what is below -60 dB before and after it."),
    ] = False
    sample_rate: Annotated[
        int | None,
        typer.Option(help="Samples per second of the file.", show_default="the model's"),
    ] = None
    channels: Annotated[
        int | None, typer.Option(help="1 or 2, of the file.", show_default="the model's")
    ] = None
    fade: Annotated[
        float | None,
        typer.Option(
            help="Seconds of fade-out at the end; 0 is none.", show_default="0.005 where it is cut"
        ),
    ] = None
    loudness: Annotated[
        float | None,
        typer.Option(help="Loudness in LUFS, such as -16; the true peak stays below -1 dB."),
    ] = None
    peak: Annotated[
        float | None, typer.Option(help="Highest sample in dB of full scale, such as -1.")
    ] = None
    subtype: options.Subtype = "pcm24"
    tags: Annotated[
        bool, typer.Option("--tags/--no-tags", help="Write into each file how it was made.")
    ] = True

    def finishing(self) -> "Finishing":
        """Return the steps before a file.

        Raises:
            ValueError: One is out of range, or two do not go together.
        """
        from stable_audio_open.audio.finishing import Finishing

        return Finishing(**{name: getattr(self, name) for name in Finishing.__struct_fields__})

    def pattern(self) -> "NamePattern":
        """Return how files in a folder are named.

        Raises:
            ValueError: The pattern cannot name files.
        """
        from stable_audio_open.jobs.target import name_pattern

        return name_pattern(self.name)

    def plan(self, *, sounds: int) -> "Target":
        """Say where the sounds will be saved, or why they cannot be.

        Raises:
            ValueError: Options do not go together, or the output exists.
            OSError: Nothing can be written there.
        """
        from stable_audio_open.jobs.target import plan

        target = plan(
            self.output,
            sounds=sounds,
            subtype=self.subtype,
            overwrite=self.overwrite,
            suffix=self.pattern().suffix,
            tags=self.tags,
        )
        if self.name is not None and not target.is_folder:
            raise ValueError(
                f"--name {self.name} names files in a folder, and --output {self.output} is a "
                "file; leave one out, or give a folder"
            )
        if self.sample_rate is not None:
            target.check_form(
                self.sample_rate, self.channels or STEREO, suffix=self.pattern().suffix
            )
        return target
