"""Files to make for a protocol, and how: generations, reconstructions, cut references."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.checkpoint.lora import adapter_names
from stable_audio_open.data.processes import JoinedProcesses
from stable_audio_open.evaluation.generations.folder import FLOAT_SUFFIX, SUFFIX, make_missing
from stable_audio_open.evaluation.generations.sets import (
    GenerationSettings,
    ReconstructionSettings,
    SetFile,
    Settings,
    open_set,
    write_manifest,
)
from stable_audio_open.evaluation.generations.sources import follow_sources
from stable_audio_open.evaluation.protocols.protocol import CaptionPrompt
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.jobs.protocol.request import Asked
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.request import check_seeds


@dataclass(frozen=True, kw_only=True)
class Work:
    """Files to make in one folder."""

    folder: Path
    files: Sequence[SetFile]
    """Files to make where they are missing."""
    make: Callable[[Sequence[SetFile]], Audio]
    """Files, at most `batch` of them, to as many sounds."""
    batch: int = 1
    """Files at once."""
    settings: Callable[[], Settings] | None = None
    """How they are made, which another run must agree with; None where sources say it all."""
    table: Sequence[SetFile] = ()
    """Files of the whole table, of which the manifest lists those that are there."""
    sources: Mapping[str, Path] = field(default_factory=dict)
    """Recording of each clip where files are made of recordings: of another one they go."""
    how: str = ""
    """What is made of the recordings, in words."""

    def open(self, processes: JoinedProcesses) -> None:
        """Let the first process prepare the folder before any writes there.

        Raises:
            ValueError: It holds files of another model or other settings.
        """
        if processes.rank == 0 and self.settings is not None:
            open_set(self.folder, self.settings())
        processes.wait()

    def do(self, processes: JoinedProcesses) -> list[SetFile]:
        """Make what is missing, and return what is there of the table in the first process.

        Raises:
            AudioFileError: A recording cannot be read.
            FloatingPointError: The model gave NaN.
            ValueError: The record of sources cannot be read.
        """
        if processes.rank == 0 and self.sources:
            self.folder.mkdir(parents=True, exist_ok=True)
            follow_sources(self.folder, self.files, self.sources, how=self.how)
        processes.wait()
        make_missing(
            self.folder,
            self.files,
            self.make,
            batch=self.batch,
            rank=processes.rank,
            processes=processes.total,
        )
        processes.wait()
        if processes.rank != 0 or self.settings is None:
            return []
        return write_manifest(self.folder, self.table)


def seconds_of(asked: Asked, model: StableAudio) -> float:
    """Return the length of generations: the protocol's, or the model's window where it is less."""
    return min(asked.protocol.seconds, model.window_seconds)


def generations_of(model: StableAudio, asked: Asked, folder: Path) -> Work:
    """Return the work of generating from the chosen captions."""
    request, seconds = asked.request, seconds_of(asked, model)
    table = generation_files(asked.prompts, check_seeds(request.seed, len(asked.prompts)))
    chosen = {prompt.id for prompt in asked.chosen}

    def settings() -> Settings:
        return GenerationSettings(
            model=request.model,
            lora=adapter_names(request.lora),
            weights=module_hash(model),
            protocol=asked.protocol.name,
            prompts=asked.prompts_hash,
            seconds=seconds,
            sample_rate=model.sample_rate,
            channels=model.autoencoder.audio_channels,
            steps=request.steps,
            guidance=request.guidance_scale,
            sampler=request.sampler,
            seed=request.seed,
        )

    def make(files: Sequence[SetFile]) -> Audio:
        return model.generate(
            [one.prompt or "" for one in files],
            duration=seconds,
            steps=request.steps,
            guidance_scale=request.guidance_scale,
            sampler=request.sampler,
            seed=[one.seed or 0 for one in files],
            progress=False,
        )

    return Work(
        folder=folder,
        files=[one for one in table if one.id in chosen],
        make=make,
        batch=request.batch,
        settings=settings,
        table=table,
    )


def reconstructions_of(autoencoder: AudioAutoencoder, asked: Asked, folder: Path) -> Work:
    """Return the work of encoding and decoding the chosen references, whole.

    What comes out stays as loud as it is, which is what the distances of table 3 compare.
    """

    def settings() -> Settings:
        return ReconstructionSettings(
            model=asked.request.model,
            weights=module_hash(autoencoder),
            protocol=asked.protocol.name,
            prompts=asked.prompts_hash,
            sample_rate=autoencoder.sample_rate,
            channels=autoencoder.audio_channels,
            downsampling=autoencoder.downsampling,
            latent_channels=autoencoder.latent_channels,
        )

    def make(files: Sequence[SetFile]) -> Audio:
        path = asked.references[files[0].clip]
        rate, channels = autoencoder.sample_rate, autoencoder.audio_channels
        audio = read_audio(path, sample_rate=rate, channels=channels)
        try:
            return Audio(autoencoder.reconstruct(audio.samples), rate)
        except FloatingPointError as error:
            raise FloatingPointError(f"{path}: {error}") from error

    clips = list(dict.fromkeys(prompt.clip for prompt in asked.prompts))
    return Work(
        folder=folder,
        files=_clips(asked, FLOAT_SUFFIX),
        make=make,
        settings=settings,
        table=clip_files(clips, FLOAT_SUFFIX),
        sources=asked.references,
    )


def cuts_of(seconds: float, asked: Asked, folder: Path) -> Work:
    """Return the work of cutting references to the length of generations.

    Each keeps its own rate and channels.
    """
    return Work(
        folder=folder,
        files=_clips(asked),
        make=lambda files: read_audio(asked.references[files[0].clip], duration=seconds),
        sources=asked.references,
        how=f"the first {seconds} s",
    )


def generation_files(prompts: Sequence[CaptionPrompt], seeds: Sequence[int]) -> list[SetFile]:
    """Return what to generate: one file for each caption, named by it.

    Args:
        prompts: The whole table, so that a caption's seed does not depend on what is asked for.
        seeds: One for each prompt.
    """
    return [
        SetFile(
            id=prompt.id,
            file=f"{prompt.id}{SUFFIX}",
            clip=prompt.clip,
            prompt=prompt.text,
            seed=seed,
        )
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def clip_files(clips: Sequence[str], suffix: str = SUFFIX) -> list[SetFile]:
    """Return what to make of recordings: one file for each, named by it."""
    return [SetFile(id=clip, file=f"{clip}{suffix}", clip=clip) for clip in clips]


def _clips(asked: Asked, suffix: str = SUFFIX) -> list[SetFile]:
    """Return a file for each clip of the chosen captions that has a reference."""
    clips = dict.fromkeys(prompt.clip for prompt in asked.chosen)
    return clip_files([clip for clip in clips if clip in asked.references], suffix)
