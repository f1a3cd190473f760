"""The parts of a curation from their configuration: sources, tagger, embedder."""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from stable_audio_open.audio.paths import files_by_number
from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.audio_models.registry import EMBEDDERS, MUSIC_TAGGERS
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.config.curation import (
    ClapConfig,
    CurationConfig,
    FmaSourceConfig,
    FolderSourceConfig,
    FreesoundSourceConfig,
    ManifestSourceConfig,
    MusicConfig,
    MusicnnConfig,
    NearCopiesConfig,
    PannsConfig,
    SourceConfig,
)
from stable_audio_open.curation.catalogue.ingest import SourceRow, with_files
from stable_audio_open.curation.sources.fma import read_fma
from stable_audio_open.curation.sources.folder import read_folder
from stable_audio_open.curation.sources.freesound_json import read_freesound
from stable_audio_open.curation.sources.manifest import read_listed
from stable_audio_open.engine.engine import Engine


def build_tagger(config: MusicConfig) -> Tagger:
    """Load the tagger of the music gate.

    Raises:
        ValueError: There is no such tagger, or its weights are missing.
    """
    name, device = model_name(config.tagger, config.device)
    return MUSIC_TAGGERS.load(name, device=device)


def build_embedder(config: NearCopiesConfig) -> Embedder:
    """Load the embedder of near copies.

    Raises:
        ValueError: There is no such embedder, or its weights are missing.
    """
    name, device = model_name(config.embedder, config.device)
    return EMBEDDERS.load(name, device=device)


def model_name(
    config: str | PannsConfig | MusicnnConfig | ClapConfig, device: str
) -> tuple[str, str]:
    """Return name and device of a model; an object of earlier versions has its own device."""
    match config:
        case str():
            return config, device
        case PannsConfig():
            return f"panns:{config.path}", config.device
        case ClapConfig():
            return f"clap:{config.path}", config.device
        case MusicnnConfig():
            return f"musicnn:{config.weights}", config.device
        case _:
            assert_never(config)


def read_source(config: SourceConfig, audio: Path, engine: Engine | None) -> Iterator[SourceRow]:
    """Yield the rows of a source."""
    match config:
        case FolderSourceConfig():
            yield from read_folder(audio, engine=engine)
        case ManifestSourceConfig():
            yield from read_listed(Path(config.path), audio)
        case FreesoundSourceConfig():
            rows = (row for path in config.paths for row in read_freesound(Path(path)))
            yield from with_files(rows, files_by_number(audio))
        case FmaSourceConfig():
            yield from with_files(read_fma(Path(config.path)), files_by_number(audio))
        case _:
            assert_never(config)


def paths_of(config: CurationConfig) -> Iterator[Path]:
    """Yield all that is read besides the recordings."""
    for source in config.sources:
        match source:
            case ManifestSourceConfig() | FmaSourceConfig():
                yield Path(source.path)
            case FreesoundSourceConfig():
                yield from map(Path, source.paths)
            case FolderSourceConfig():
                pass
            case _:
                assert_never(source)
    if config.search is not None:
        yield Path(config.search.list)
    yield from (Path(answer.table) for answer in config.answers)
