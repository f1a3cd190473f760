"""Whether a model copies its training data (section 5.3).

As in the paper: repeated recordings of the training set are found in the space of an embedder, by a
threshold that a person sets; sounds are generated with their prompts and with random prompts of
the training set; those that are nearest to a training recording are candidates for a person to
listen to. Beside them stands how near other recordings are to the training set. Silence is compared
with nothing, and silent recordings give no prompts.
"""

import logging
import random
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import audio_info
from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.evaluation.generations.prompted import (
    Generate,
    PromptedSettings,
    PromptedSound,
    check_settings,
    make_generations,
    make_reconstructions,
    wanted_sound,
)
from stable_audio_open.evaluation.memorisation.candidates import RecordingComparison, Sounds
from stable_audio_open.evaluation.memorisation.chunks import nearest_chunks
from stable_audio_open.evaluation.memorisation.result import (
    Memorisation,
    StudiedSet,
    StudySettings,
    distribution,
    edges_of,
)
from stable_audio_open.evaluation.memorisation.sets import (
    EmbeddedSet,
    RecordingSet,
    SetEmbedder,
    refuse_shared,
    repeated_groups,
)
from stable_audio_open.evaluation.weights import weights_hash
from stable_audio_open.progress import step_progress
from stable_audio_open.similarity.embeddings import EmbeddingCache

GENERATIONS = "generations"
RECONSTRUCTIONS = "reconstructions"

logger = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Number of sounds -> what to call after each."""


def unseen_progress(count: int) -> AbstractContextManager[Callable[[], None]]:
    """Show nothing."""
    return step_progress(count, shown=False)


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A model, and what it is asked for."""

    generate: Generate
    prompt: Callable[[str, int], str]
    """Training file and number of the sound -> what to generate."""
    window: float
    """Longest sound in seconds."""
    settings: PromptedSettings
    reconstruct: Callable[[Path], Audio] | None = None
    """Path of a recording -> at most the window of it through the autoencoder: how near an exact
    copy of the latents would be. None leaves this out."""
    batch: int = 8
    """Sounds at once."""
    progress: Progress = unseen_progress
    """Shows how many of the sounds are there."""

    def wanted(self, library: EmbeddedSet, place: int, copy: int) -> PromptedSound:
        """Return a sound with the prompt of a training recording, as long as that recording."""
        file = library.files[place]
        seconds = self.settings.duration or audio_info(library.folder / file).duration
        return wanted_sound(
            file,
            copy,
            prompt=self.prompt(file, copy),
            seconds=round(min(seconds, self.window), 6),
            settings=self.settings,
        )


def study_memorisation(
    training: RecordingSet,
    output: Path,
    *,
    embedder: Embedder,
    generator: Generator,
    settings: StudySettings,
    held_out: RecordingSet | None = None,
    given: RecordingSet | None = None,
) -> Memorisation:
    """Generate, compare, and write what candidates have to be compared with into the folder.

    Generations and embeddings are kept in `output`, so that a run goes on where it stopped, and
    one with another embedder takes the same sounds.

    Args:
        training: What the model was trained on.
        output: Folder for everything.
        embedder: In whose space sounds are compared.
        generator: The model.
        settings: What is compared.
        held_out: Recordings like those of the training set that the model was not trained on.
        given: Other generations, such as outstanding ones; their captions are their prompts.

    Raises:
        ValueError: A set has too few recordings that can be read and are not silent, a held-out
            recording is one of the training set, or the folder was begun with other settings.
    """
    check_settings(output / GENERATIONS, generator.settings)
    cache = EmbeddingCache(output / "embeddings", embedder.name)
    embed = SetEmbedder(output, embedder, cache, settings.chunk)
    library = embed("training", training.folder, training.captions)
    library.refuse_empty()
    embedded = [library]
    near = nearest_chunks(library.vectors, library.vectors, same_set=True)
    similarities: dict[str, Tensor] = {"training set against itself": near.similarity}
    if held_out is not None:
        unseen = embed("held_out", held_out.folder, held_out.captions)
        unseen.refuse_empty()
        embedded.append(unseen)
        refuse_shared(unseen, library)
        near = nearest_chunks(unseen.vectors, library.vectors)
        similarities["held-out against training set"] = near.similarity
    others = None
    if given is not None:
        others = embed("given", given.folder, given.captions)
        others.refuse_empty()
    repeated = repeated_groups(library, settings.threshold)
    of_repeated = [place for group in repeated for place in group][: settings.repeated]
    sets = _generated(
        of_repeated, library, output, embed=embed, generator=generator, settings=settings
    )
    if generator.reconstruct is not None and settings.random:
        sets.append(
            _reconstructed(library, output, embed=embed, generator=generator, settings=settings)
        )
    if given is not None and others is not None:
        sets.append(Sounds("given sounds", others, given.captions.keys(), given.captions, None))
    comparison = RecordingComparison(
        training=training,
        library=library,
        settings=settings,
        baseline=float(torch.quantile(near.similarity, settings.baseline_quantile)),
        output=output,
    )
    sections = []
    for sounds in sets:
        section, near_to = comparison.section(sounds)
        sections.append(section)
        if section.sounds:
            similarities[sounds.title] = near_to
    edges = edges_of(torch.cat(list(similarities.values())))
    judged = list({sounds.embedded.name: sounds.embedded for sounds in sets}.values())
    return Memorisation(
        audio=str(output),
        checkpoint=embedder.name,
        checkpoint_hash=weights_hash(embedder),
        sample_rate=embedder.sample_rate,
        channels=1,
        files=sum(len(found.files) for found in judged),
        windows=sum(len(found.vectors.values) for found in judged),
        silent=tuple(file for found in judged for file in found.silent),
        reference=str(training.folder),
        seed=generator.settings.seed,
        sets=tuple(map(_studied, (*embedded, *judged))),
        settings=settings,
        generation=generator.settings,
        repeated=tuple(tuple(library.files[place] for place in group) for group in repeated),
        baseline=round(comparison.baseline, 6),
        edges=edges,
        distributions=tuple(
            distribution(name, values, edges) for name, values in similarities.items()
        ),
        sections=tuple(sections),
    )


def _generated(
    of_repeated: list[int],
    library: EmbeddedSet,
    output: Path,
    *,
    embed: SetEmbedder,
    generator: Generator,
    settings: StudySettings,
) -> list[Sounds]:
    """Generate with prompts of repeated and of random recordings; one of both counts in both."""
    at_random = _at_random(library, generator, settings)
    places = sorted({*of_repeated, *at_random})
    if not places:
        return []
    wanted = [
        generator.wanted(library, place, copy)
        for place in places
        for copy in range(settings.per_prompt)
    ]

    def make() -> list[PromptedSound]:
        with generator.progress(len(wanted)) as advance:
            make_generations(
                wanted,
                output / GENERATIONS,
                generate=generator.generate,
                settings=generator.settings,
                batch=generator.batch,
                progress=advance,
            )
        return wanted

    made, origins = _made(output / GENERATIONS, embed, make)
    prompts = {file: sound.prompt for file, sound in origins.items()}
    sets = []
    for title, chosen in (
        ("prompts of repeated training data", of_repeated),
        ("random prompts of the training set", at_random),
    ):
        recordings = {library.files[place] for place in chosen}
        own = {file for file, sound in origins.items() if sound.recording in recordings}
        if own:
            sets.append(Sounds(title, made, own, prompts, origins))
    return sets


def _reconstructed(
    library: EmbeddedSet,
    output: Path,
    *,
    embed: SetEmbedder,
    generator: Generator,
    settings: StudySettings,
) -> Sounds:
    """Take the recordings that give random prompts through the autoencoder."""
    assert generator.reconstruct is not None
    files = [library.files[place] for place in _at_random(library, generator, settings)]
    folder = output / RECONSTRUCTIONS
    make = partial(
        make_reconstructions,
        {file: library.hashes[file] for file in files},
        library.folder,
        folder,
        reconstruct=generator.reconstruct,
    )
    made, origins = _made(folder, embed, make)
    prompts = {file: sound.prompt for file, sound in origins.items()}
    title = "training recordings through the autoencoder"
    return Sounds(title, made, origins.keys(), prompts, origins)


def _made(
    folder: Path, embed: SetEmbedder, make: Callable[[], Iterable[PromptedSound]]
) -> tuple[EmbeddedSet, dict[str, PromptedSound]]:
    """Return sounds and what they are by their files, once those that are damaged are made anew."""
    origins = {sound.file: sound for sound in make()}
    found = embed(folder.name, folder, origins)
    if found.unreadable:
        for file in found.unreadable:
            logger.warning("made again: %s", folder / file)
            (folder / file).unlink(missing_ok=True)
        make()
        found = embed(folder.name, folder, origins)
    return found, origins


def _studied(found: EmbeddedSet) -> StudiedSet:
    return StudiedSet(
        name=found.name.replace("_", "-"),
        folder=str(found.folder),
        files=len(found.files),
        windows=len(found.vectors.values),
        silent=found.silent,
        silent_windows=found.silent_chunks,
        unreadable=found.unreadable,
    )


def _at_random(library: EmbeddedSet, generator: Generator, settings: StudySettings) -> list[int]:
    rng = random.Random(f"{generator.settings.seed} prompts")
    everything = range(len(library.files))
    return sorted(rng.sample(everything, min(settings.random, len(everything))))
