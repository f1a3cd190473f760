"""Reconstructions of the references of a table, as files to make."""

from collections.abc import Sequence
from pathlib import Path

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.evaluation.generations.folder import FLOAT_SUFFIX
from stable_audio_open.evaluation.generations.sets import (
    ReconstructionSettings,
    SetFile,
    Settings,
)
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.jobs.protocol.request import Asked
from stable_audio_open.jobs.protocol.work import Work, clip_files


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
        files=clip_files(asked.clips, FLOAT_SUFFIX),
        make=make,
        settings=settings,
        table=clip_files(clips, FLOAT_SUFFIX),
        sources=asked.references,
    )
