"""From checked options to files: load, make, finish, save, and tell."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stable_audio_open.cli import options
from stable_audio_open.cli.printing import tell
from stable_audio_open.cli.sounds.file_options import FileOptions
from stable_audio_open.cli.sounds.groups import ModelOptions
from stable_audio_open.files.names import stem_for_names

if TYPE_CHECKING:
    from stable_audio_open.audio.audio import Audio
    from stable_audio_open.pretrained import StableAudio

Make = Callable[["StableAudio", bool], "Audio"]
"""From a model, and whether to show progress, to sounds."""


def make_sounds(
    make: Make,
    *,
    model: ModelOptions,
    files: FileOptions,
    texts: Sequence[str],
    source: Path | None = None,
    reads: Sequence[Path] = (),
) -> None:
    """Make sounds and save them; what can be refused is refused before the model is loaded.

    Args:
        make: Makes the sounds.
        model: Which model makes them.
        files: Where they go.
        texts: What each of them is named by.
        source: Recording that they are made from: files in a folder have its name and their seed,
            unless a pattern is given.
        reads: Other recordings that they are made with; none of all these is replaced.

    Raises:
        ValueError: Options do not go together, or one does not go with the model.
        OSError: Something cannot be read or written.
    """
    import sys
    from time import perf_counter

    from msgspec.structs import asdict

    from stable_audio_open.jobs.target import check_apart, place_of
    from stable_audio_open.pretrained import StableAudio

    finishing, pattern = files.finishing(), files.pattern()
    stem = None if source is None else stem_for_names(source)
    recordings = [*reads] if source is None else [source, *reads]
    for recording in recordings:
        check_apart(files.output, recording)
    target = files.plan(sounds=len(texts))
    target.kept.update(map(place_of, recordings))
    options.use_threads(model.threads)

    begin = perf_counter()
    system = StableAudio.from_pretrained(model.model, **model.loading())
    loaded = perf_counter()
    target.check_form(
        finishing.sample_rate or system.sample_rate,
        finishing.channels or system.autoencoder.audio_channels,
        suffix=pattern.suffix,
    )
    audio = make(system, sys.stderr.isatty())
    elapsed = perf_counter() - loaded
    audio = audio.finish(**asdict(finishing))
    names = [
        f"{stem}_{seed}{pattern.suffix}"
        if stem is not None and files.name is None
        else pattern.name(index=index, prompt=text, seed=seed)
        for index, (text, seed) in enumerate(zip(texts, audio.seeds, strict=True))
    ]
    saved = target.save(audio, names, tags=files.tags)
    for file, item, end in zip(saved, audio, audio.sound_end(), strict=True):
        ends = f"sound ends at {end:.2f} s" if end else "silent"
        prompt = item.tags[0]["prompt"]
        tell(f'{file}: {item.duration:.2f} s, {ends}, seed {item.seed}, "{prompt}"')
    total = sum(audio.durations)
    tell(
        f"model loaded in {loaded - begin:.1f} s; {total:.2f} s of sound in {elapsed:.1f} s "
        f"({total / elapsed:.2f} times real time)"
    )
