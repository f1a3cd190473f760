"""Sets of files made by a model, shared out over the processes that torchrun started."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.checkpoint.lora import adapter_names
from stable_audio_open.data.processes import Processes
from stable_audio_open.evaluation.generations.sets import (
    DECODED_SUFFIX,
    SUFFIX,
    GenerationSettings,
    Item,
    ReconstructionSettings,
    Settings,
    make_missing,
    open_set,
    write_manifest,
)
from stable_audio_open.evaluation.generations.sources import follow_sources
from stable_audio_open.evaluation.protocols.protocol import prompts_hash
from stable_audio_open.evaluation.protocols.work import clip_items, cut, generation_items
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.jobs.protocol.request import Asked
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.request import check_seeds


def device_of(device: str | None, processes: Processes) -> str | None:
    """Return the device of this process: of several, each has its own GPU.

    Raises:
        ValueError: There are more processes than GPUs.
    """
    if processes.total == 1 or device not in (None, "cuda"):
        return device
    gpus = torch.cuda.device_count()
    if device is None and not gpus:
        return "cpu"
    if processes.local_rank >= gpus:
        raise ValueError(
            f"process {processes.local_rank} of this machine has no GPU, there are {gpus}; start "
            "as many processes as GPUs, or give --device cpu"
        )
    return f"cuda:{processes.local_rank}"


def seconds_of(asked: Asked, system: StableAudio) -> float:
    """Return the length of generations: the protocol's, or the model's window where it is less."""
    return min(asked.protocol.seconds, system.window_seconds)


def open_generations(
    system: StableAudio, name: str, asked: Asked, folder: Path, processes: Processes
) -> None:
    """Prepare the folder of generations.

    Args:
        system: The model.
        name: As it was asked for.
        asked: Prompts and sampling.
        folder: Of the files, the settings and the manifest.
        processes: That share the work.

    Raises:
        ValueError: The folder holds files of another model or other settings.
    """
    _open(
        folder,
        processes,
        lambda: GenerationSettings(
            model=name,
            lora=adapter_names(asked.lora),
            weights=module_hash(system),
            protocol=asked.protocol.name,
            prompts=prompts_hash(asked.prompts),
            seconds=seconds_of(asked, system),
            sample_rate=system.sample_rate,
            channels=system.autoencoder.audio_channels,
            steps=asked.steps,
            guidance=asked.guidance,
            sampler=asked.sampler,
            seed=asked.seed,
        ),
    )


def make_generations(
    system: StableAudio, asked: Asked, folder: Path, processes: Processes
) -> list[Item]:
    """Generate what is missing in the folder that was opened.

    Returns:
        What is there of the whole table; for the first process alone.
    """
    seconds = seconds_of(asked, system)
    items = generation_items(asked.prompts, check_seeds(asked.seed, len(asked.prompts)))
    chosen = {prompt.id for prompt in asked.chosen}

    def make(group: Sequence[Item]) -> Audio:
        return system.generate(
            [item.prompt or "" for item in group],
            duration=seconds,
            steps=asked.steps,
            guidance_scale=asked.guidance,
            sampler=asked.sampler,
            seed=[item.seed or 0 for item in group],
            progress=False,
        )

    make_missing(
        folder,
        [item for item in items if item.id in chosen],
        make,
        batch=asked.batch,
        rank=processes.rank,
        processes=processes.total,
    )
    return _close(folder, items, processes)


def open_reconstructions(
    autoencoder: AudioAutoencoder, name: str, asked: Asked, folder: Path, processes: Processes
) -> None:
    """Prepare the folder of reconstructions.

    Raises:
        ValueError: It holds files of another model or other prompts.
    """
    _open(
        folder,
        processes,
        lambda: ReconstructionSettings(
            model=name,
            weights=module_hash(autoencoder),
            protocol=asked.protocol.name,
            prompts=prompts_hash(asked.prompts),
            sample_rate=autoencoder.sample_rate,
            channels=autoencoder.audio_channels,
            downsampling=autoencoder.downsampling,
            latent_channels=autoencoder.latent_channels,
        ),
    )


def make_reconstructions(
    autoencoder: AudioAutoencoder,
    asked: Asked,
    references: Mapping[str, Path],
    folder: Path,
    processes: Processes,
) -> list[Item]:
    """Encode and decode the chosen references, whole, where the opened folder lacks them.

    What comes out stays as loud as it is, which is what the distances of table 3 compare.

    Returns:
        What is there of the whole table; for the first process alone.

    Raises:
        AudioFileError: A reference cannot be read.
        FloatingPointError: The autoencoder gave NaN.
    """

    def make(group: Sequence[Item]) -> Audio:
        (item,) = group
        audio = read_audio(
            references[item.clip],
            sample_rate=autoencoder.sample_rate,
            channels=autoencoder.audio_channels,
        )
        try:
            decoded = autoencoder.reconstruct(audio.samples)
        except FloatingPointError as error:
            raise FloatingPointError(f"{references[item.clip]}: {error}") from error
        return Audio(decoded, autoencoder.sample_rate)

    _follow(folder, clips_of(asked, references, DECODED_SUFFIX), references, make, processes)
    clips = list(dict.fromkeys(prompt.clip for prompt in asked.prompts))
    every = clip_items(clips, DECODED_SUFFIX)
    return _close(folder, every, processes)


def clips_of(asked: Asked, references: Mapping[str, Path], suffix: str = SUFFIX) -> list[Item]:
    """Return an item for each clip of the chosen prompts that has a reference."""
    clips = dict.fromkeys(prompt.clip for prompt in asked.chosen)
    return clip_items([clip for clip in clips if clip in references], suffix)


def cut_references(
    seconds: float,
    asked: Asked,
    references: Mapping[str, Path],
    folder: Path,
    processes: Processes,
) -> dict[str, Path]:
    """Cut the chosen references to the length of generations, with which they are compared.

    Returns:
        Their files, by clip.

    Raises:
        AudioFileError: A reference cannot be read.
    """
    return _follow(
        folder,
        clips_of(asked, references),
        references,
        lambda group: cut(references, group, seconds),
        processes,
        how=f"the first {seconds} s",
    )


def _follow(
    folder: Path,
    clips: Sequence[Item],
    references: Mapping[str, Path],
    make: Callable[[Sequence[Item]], Audio],
    processes: Processes,
    *,
    how: str = "",
) -> dict[str, Path]:
    """Make of references what is missing, and what was made otherwise, shared out.

    Returns:
        The files, by clip.
    """
    if processes.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        follow_sources(folder, clips, references, how=how)
    processes.wait()
    make_missing(folder, clips, make, batch=1, rank=processes.rank, processes=processes.total)
    processes.wait()
    return {item.clip: folder / item.file for item in clips}


def _open(folder: Path, processes: Processes, settings: Callable[[], Settings]) -> None:
    """Let the first process prepare the folder before any writes there."""
    if processes.rank == 0:
        open_set(folder, settings())
    processes.wait()


def _close(folder: Path, items: Sequence[Item], processes: Processes) -> list[Item]:
    """Let the first process list what is there once all have ended."""
    processes.wait()
    return write_manifest(folder, items) if processes.rank == 0 else []
