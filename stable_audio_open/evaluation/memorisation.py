"""Whether a model copies its training data (section 5.3).

As in the paper: repeated recordings of the training set are found in the space of an embedder, by a
threshold that a person sets; sounds are generated with their prompts and with random prompts of
the training set; those that are nearest to a training recording are candidates for a person to
listen to. Beside them stands how near other recordings are to the training set.
"""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import audio_info
from stable_audio_open.evaluation.candidates import Comparison, Sounds
from stable_audio_open.evaluation.chunk_vectors import nearest
from stable_audio_open.evaluation.generations import (
    Generate,
    GenerationSettings,
    Wanted,
    check_settings,
    make_generations,
    make_reconstructions,
    wanted_sound,
)
from stable_audio_open.evaluation.memorisation_result import (
    Memorisation,
    StudySettings,
    distribution,
    edges_of,
)
from stable_audio_open.evaluation.recording_sets import (
    EmbeddedSet,
    RecordingSet,
    SetEmbedder,
    refuse_shared,
    repeated_groups,
)
from stable_audio_open.listeners.embedder import Embedder
from stable_audio_open.listeners.embeddings import EmbeddingCache
from stable_audio_open.progress import step_progress

GENERATIONS = "generations"
RECONSTRUCTIONS = "reconstructions"

Progress: TypeAlias = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Number of sounds -> what to call after each."""


def _unseen(count: int) -> AbstractContextManager[Callable[[], None]]:
    return step_progress(count, shown=False)


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A model, and what it is asked for."""

    generate: Generate
    prompt: Callable[[str, int], str]
    """Training file and number of the sound -> what to generate."""
    window: float
    """Longest sound in seconds."""
    settings: GenerationSettings
    reconstruct: Callable[[Path], Audio] | None = None
    """Path of a recording -> at most the window of it through the autoencoder: how near an exact
    copy of the latents would be. None leaves this out."""
    batch: int = 8
    """Sounds at once."""
    progress: Progress = _unseen
    """Shows how many of the sounds are there."""

    def wanted(self, library: EmbeddedSet, place: int, copy: int) -> Wanted:
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
        held_out: Recordings like those of the training set that the model has not heard.
        given: Other generations, such as outstanding ones; their captions are their prompts.

    Raises:
        ValueError: A set has too few readable recordings, a held-out recording is one of the
            training set, or the folder was begun with other settings.
    """
    check_settings(output / GENERATIONS, generator.settings)
    cache = EmbeddingCache(output / "embeddings", embedder.name)
    embed = SetEmbedder(output, embedder, cache, settings.chunk)
    library = embed("training", training.folder, training.captions)
    near = nearest(library.vectors, library.vectors, same_set=True)
    similarities: dict[str, Tensor] = {"training set against itself": near.similarity}
    if held_out is not None:
        unseen = embed("held_out", held_out.folder, held_out.captions)
        refuse_shared(unseen, library)
        near = nearest(unseen.vectors, library.vectors)
        similarities["held-out against training set"] = near.similarity
    repeated = repeated_groups(library, settings.threshold)
    of_repeated = [place for group in repeated for place in group][: settings.repeated]
    sets = _generated(of_repeated, library, output, embed, generator, settings)
    if generator.reconstruct is not None and settings.random:
        sets.append(_reconstructed(library, output, embed, generator, settings))
    if given is not None:
        others = embed("given", given.folder, given.captions)
        prompts = [given.captions[file] for file in others.files]
        sets.append(Sounds("given sounds", others, range(len(prompts)), prompts, None))
    comparison = Comparison(
        training=training,
        library=library,
        settings=settings,
        baseline=float(torch.quantile(near.similarity, settings.baseline_quantile)),
        output=output,
    )
    sections = []
    for sounds in sets:
        section, similarities[sounds.title] = comparison.section(sounds)
        sections.append(section)
    edges = edges_of(torch.cat(list(similarities.values())))
    return Memorisation(
        embedder=embedder.name,
        training=str(training.folder),
        recordings=len(library.files),
        chunks=len(library.vectors.values),
        unreadable=len(training.captions) - len(library.files),
        held_out=str(held_out.folder) if held_out else None,
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
    with generator.progress(len(wanted)) as advance:
        make_generations(
            wanted,
            output / GENERATIONS,
            generate=generator.generate,
            settings=generator.settings,
            batch=generator.batch,
            progress=advance,
        )
    made = embed(GENERATIONS, output / GENERATIONS, [sound.file for sound in wanted])
    prompts = [sound.prompt for sound in wanted]
    sets = []
    for title, chosen in (
        ("prompts of repeated training data", of_repeated),
        ("random prompts of the training set", at_random),
    ):
        files = {library.files[place] for place in chosen}
        own = [i for i, sound in enumerate(wanted) if sound.recording in files]
        if own:
            sets.append(Sounds(title, made, own, prompts, wanted))
    return sets


def _reconstructed(
    library: EmbeddedSet,
    output: Path,
    embed: SetEmbedder,
    generator: Generator,
    settings: StudySettings,
) -> Sounds:
    """Take the recordings that give random prompts through the autoencoder."""
    assert generator.reconstruct is not None
    files = [library.files[place] for place in _at_random(library, generator, settings)]
    folder = output / RECONSTRUCTIONS
    made = make_reconstructions(files, library.folder, folder, reconstruct=generator.reconstruct)
    embedded = embed(RECONSTRUCTIONS, folder, [sound.file for sound in made])
    title = "training recordings through the autoencoder"
    return Sounds(title, embedded, range(len(files)), files, made)


def _at_random(library: EmbeddedSet, generator: Generator, settings: StudySettings) -> list[int]:
    rng = random.Random(f"{generator.settings.seed} prompts")
    everything = range(len(library.files))
    return sorted(rng.sample(everything, min(settings.random, len(everything))))
