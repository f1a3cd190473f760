"""A curation from its sources to the training set, stage by stage."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from stable_audio_open.config.fields import Name, Positive, PositiveFloat, Seed
from stable_audio_open.prompts import PromptSettings
from stable_audio_open.settings import MusicGate, ScanSettings

Probability = Annotated[float, Meta(gt=0, le=1)]


class FolderSourceConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="folder"
):
    """All recordings of the curation's folder, by their sidecars (name.json) and tags."""


class ManifestSourceConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="manifest"
):
    """A training manifest: one JSON object a line, with file, caption, author, licence and more."""

    path: Name
    """The manifest; its files are looked for in the curation's folder."""


class FreesoundSourceConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="freesound"
):
    """Metadata of Freesound."""

    paths: Annotated[tuple[Name, ...], Meta(min_length=1)]
    """JSON of the API or of FSD50K, JSON lines, or folders of them."""


class FmaSourceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="fma"):
    """Metadata of the Free Music Archive."""

    path: Name
    """The folder with tracks.csv and genres.csv."""


SourceConfig = FolderSourceConfig | ManifestSourceConfig | FreesoundSourceConfig | FmaSourceConfig


class MusicnnConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="musicnn"):
    """The network of the package musicnn, with its weights: it tags and embeds."""

    weights: Literal["MTT_musicnn", "MSD_musicnn"] = "MTT_musicnn"
    """Trained on MagnaTagATune, or on the Million Song Dataset."""
    device: Name = "cpu"
    """Where to compute."""


class PannsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="panns"):
    """PANNs' frame-wise tagger, as in the paper."""

    path: Name
    """Checkpoint Cnn14_DecisionLevelMax."""
    device: Name = "cpu"
    """Where to compute."""


class ClapConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="clap"):
    """LAION-CLAP's embedding, as in the paper."""

    path: Name
    """Folder of a ClapModel of transformers."""
    device: Name = "cpu"
    """Where to compute."""


def _check_device(field: str, model: object, device: str) -> None:
    if not isinstance(model, str) and device != "cpu":
        raise ValueError(
            f"`device` is for a `{field}` that is given by name; give {device!r} inside `{field}`"
        )


class MusicConfig(MusicGate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Recordings with enough music in them wait for a person (section 3.1)."""

    tagger: Name | PannsConfig | MusicnnConfig
    """Network that tags: `panns:FILE`, `musicnn` or `musicnn:WEIGHTS`, or an object as before."""
    device: Name = "cpu"
    """Where a tagger given by name computes."""

    def __post_init__(self) -> None:
        """Check the numbers, and that an object's own device is the only one."""
        MusicGate.__post_init__(self)
        _check_device("tagger", self.tagger, self.device)


class SearchConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Recordings with the names of protected works wait for a person (section 3.1)."""

    list: Name
    """CSV with the columns artist,title and perhaps album."""
    threshold: Annotated[int, Meta(ge=1, le=100)] = 90
    """How alike artist and title both have to be."""


class NearCopiesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Recordings that sound alike, found by their embeddings."""

    embedder: Name | ClapConfig | MusicnnConfig
    """What turns a recording into a vector, as `curate duplicates` names it: `clap:FOLDER`,
    `musicnn` and others, or an object as before."""
    device: Name = "cpu"
    """Where an embedder given by name computes."""
    threshold: Probability
    """Least cosine of copies; it belongs to the embedder."""

    def __post_init__(self) -> None:
        """Check that an object's own device is the only one."""
        _check_device("embedder", self.embedder, self.device)


class DuplicatesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exact copies are dropped; near copies wait for a person."""

    near: NearCopiesConfig | None = None
    """Near copies by embeddings; not looked for when null."""
    chromaprint: bool = False
    """Near copies by the command fpcalc too."""


class AnswersConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decided about recordings that waited."""

    table: Name
    """A filled review.csv."""
    by: Name
    """Who decided."""


class PromptExamplesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Examples of what a training would read, in prompts.txt."""

    show: Positive = 20
    """How many."""
    seed: Seed = 0
    """Seed of the recordings and prompts that are shown."""
    drawn: PromptSettings = PromptSettings()
    """How they are drawn."""


class SetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written of the recordings that stand."""

    form: Literal["manifest", "shards"] = "manifest"
    """A list of the files in place, or WebDataset shards of FLAC."""
    seed: Seed = 0
    """Seed of the order in shards and of the chunks."""
    recordings_per_shard: Positive = 256
    """Recordings in each shard but the last."""
    chunks: bool = False
    """Draw the autoencoder's chunks too (section 3.1)."""
    chunk_seconds: PositiveFloat = 5.0
    """Length of a chunk."""
    chunks_per_recording: Positive = 3
    """Up to so many of a recording in one pass."""
    allow_unlicensed: bool = False
    """Take recordings without an accepted licence or an author too: nothing is dropped for it."""


class CurationConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="curation"):
    """All stages, in their order; one that is null is passed over."""

    name: Name
    """What the report is headed with."""
    audio: Name
    """Folder of the recordings; relative paths start at the current directory."""
    output: Name
    """Folder of the catalogue, its decisions, the set, the report and all else that is written."""
    sources: Annotated[tuple[SourceConfig, ...], Meta(min_length=1)]
    """Where recordings are described."""
    scan: ScanSettings | None = ScanSettings()
    """Damaged, silent and other unusable recordings."""
    music: MusicConfig | None = None
    """The music gate."""
    search: SearchConfig | None = None
    """The search for protected works."""
    duplicates: DuplicatesConfig | None = DuplicatesConfig()
    """Copies."""
    answers: tuple[AnswersConfig, ...] = ()
    """Filled tables that are taken over; the others that wait stay out of the set."""
    prompts: PromptExamplesConfig | None = PromptExamplesConfig()
    """Examples of prompts."""
    set: SetConfig = SetConfig()
    """The training set."""
    changes: Name | None = None
    """What was done to the recordings, for the attributions; training alone when null."""
