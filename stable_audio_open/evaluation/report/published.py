"""Tables 1 to 7 of the paper, number by number."""

import re
from typing import Literal

import msgspec

from stable_audio_open.evaluation.clap import FUSED
from stable_audio_open.evaluation.kl import Definition
from stable_audio_open.evaluation.protocols.audiocaps import (
    AUDIOCAPS,
    NEITHER,
    NO_CONNECTORS,
    NO_SPEECH,
)
from stable_audio_open.evaluation.protocols.protocol import ALL
from stable_audio_open.evaluation.protocols.song_describer import NO_SINGING, SONG_DESCRIBER

PAPER = "Evans et al., Stable Audio Open, arXiv:2407.14358"

Kind = Literal["generation", "reconstruction"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A column of numbers."""

    name: str
    """As measurements name it."""
    label: str
    """As the paper prints it."""
    better: Literal["lower", "higher"]
    network: str = ""
    """What the names of networks match that compute the metric, whatever the case."""
    definition: str = ""
    """What the definition holds of a figure that is the metric."""
    otherwise: str = ""
    """What a figure is named with another network or definition."""

    def is_of(self, network: str, definition: str) -> bool:
        """Say whether a figure by this network, defined so, is this metric."""
        fitting = re.search(self.network, network, re.IGNORECASE) is not None
        return fitting and self.definition in definition


def _frechet(content: str) -> Metric:
    return Metric(
        name="fd_openl3",
        label="FD_openl3",
        better="lower",
        network=rf"openl3.*{content}",
        definition="left and right joined, through 44.1 kHz",
        otherwise="frechet_distance",
    )


FD_ENV, FD_MUSIC = _frechet("env"), _frechet("music")
"""By the content that OpenL3 was trained on."""
KL = Metric(
    name="kl_passt",
    label="KL_passt",
    better="lower",
    network="passt",
    definition=str(Definition()),
    otherwise="kl_divergence",
)
CLAP = Metric(
    name="clap_score",
    label="CLAP_score",
    better="higher",
    network="630k-audioset-fusion-best|clap-htsat-fused",
    definition=FUSED,
    otherwise="text_audio_cosine",
)
STFT = Metric(name="stft_distance", label="STFT distance", better="lower")
MEL = Metric(name="mel_distance", label="MEL distance", better="lower")
SI_SDR = Metric(name="si_sdr", label="SI-SDR", better="higher")


class PublishedRow(msgspec.Struct, frozen=True):
    """A row, in the order of its table's columns."""

    model: str
    source: str
    """Whose system it is: a number is that of the paper's references."""
    about: tuple[str, ...]
    values: tuple[float, ...]


class PublishedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the paper."""

    number: int
    title: str
    kind: Kind
    protocol: str
    subsets: tuple[str, ...]
    """What our rows are measured on: one row for each."""
    about: tuple[str, ...]
    """Columns that describe."""
    metrics: tuple[Metric, ...]
    rows: tuple[PublishedRow, ...]
    note: str = ""
    """What the paper says about the rows."""

    @property
    def source(self) -> str:
        """Where the numbers come from."""
        return f"{PAPER}, table {self.number}"


STABLE_AUDIO_OPEN = ("Stable Audio Open", "(published)")
GENERATED = ("channels/sr", "output length")
SOUNDS, MUSIC = (FD_ENV, KL, CLAP), (FD_MUSIC, KL, CLAP)
QUALITY = {AUDIOCAPS.name: SOUNDS, SONG_DESCRIBER.name: MUSIC}
"""Metrics of generations, by protocol."""
TRIMMED = (
    "† Trained to generate longer outputs; the generations are trimmed to {} (the silent end is "
    "discarded)."
)

TABLE_1 = PublishedTable(
    number=1,
    title="AudioCaps Dataset (with sounds, not music)",
    kind="generation",
    protocol=AUDIOCAPS.name,
    subsets=(ALL,),
    about=GENERATED,
    metrics=SOUNDS,
    rows=(
        PublishedRow("AudioLDM2-48kHz", "[4]", ("1/48kHz", "10 sec"), (101.11, 2.04, 0.37)),
        PublishedRow("AudioLDM2-large", "[4]", ("1/16kHz", "10 sec"), (170.31, 1.57, 0.41)),
        PublishedRow("AudioGen-medium", "[20]", ("1/16kHz", "10 sec"), (186.53, 1.42, 0.45)),
        PublishedRow("Stable Audio 1.0", "[5]", ("2/44.1kHz", "95 sec †"), (103.66, 2.89, 0.24)),
        PublishedRow("Stable Audio 2.0", "[6]", ("2/44.1kHz", "190 sec †"), (116.14, 2.67, 0.24)),
        PublishedRow("Stable Audio 2.0", "[6]", ("2/44.1kHz", "285 sec †"), (110.62, 2.70, 0.23)),
        PublishedRow(*STABLE_AUDIO_OPEN, ("2/44.1kHz", "47 sec †"), (78.24, 2.14, 0.29)),
    ),
    note="AudioLDM2 and AudioGen are trained with AudioSet, of which AudioCaps is a subset, and "
    "might not be comparable. " + TRIMMED.format("10 sec"),
)

TABLE_2 = PublishedTable(
    number=2,
    title="Song Describer Dataset (instrumental music, not sounds)",
    kind="generation",
    protocol=SONG_DESCRIBER.name,
    subsets=(NO_SINGING,),
    about=GENERATED,
    metrics=MUSIC,
    rows=(
        PublishedRow("MusicGen-large-stereo", "[8]", ("2/32kHz", "47"), (190.47, 0.52, 0.31)),
        PublishedRow("Stable Audio 1.0", "[5]", ("2/44.1kHz", "95 sec †"), (142.50, 0.40, 0.38)),
        PublishedRow("Stable Audio 2.0", "[6]", ("2/44.1kHz", "190 sec †"), (71.25, 0.37, 0.42)),
        PublishedRow("Stable Audio 2.0", "[6]", ("2/44.1kHz", "285 sec †"), (81.05, 0.39, 0.42)),
        PublishedRow(*STABLE_AUDIO_OPEN, ("2/44.1kHz", "47"), (96.51, 0.55, 0.41)),
    ),
    note=TRIMMED.format("47 sec"),
)

RECONSTRUCTED = ("sampling rate", "latent rate", "latent (channels)")
DISTANCES = (STFT, MEL, SI_SDR)

DAC = ("DAC", "[21]", ("44.1kHz", "86Hz", "discrete"))
AUDIOGEN_DISCRETE = ("AudioGen", "[20]", ("48kHz", "50Hz", "discrete"))
ENCODEC = ("Encodec", "[22, 8]", ("32kHz", "50Hz", "discrete"))
AUDIOGEN_CONTINUOUS = ("AudioGen", "[20]", ("48kHz", "100Hz", "continuous (32)"))
STABLE_AUDIO_1 = ("Stable Audio 1.0", "[5]", ("44.1kHz", "43Hz", "continuous (64)"))
STABLE_AUDIO_2 = ("Stable Audio 2.0", "[6]", ("44.1kHz", "21.5Hz", "continuous (64)"))
OPEN_AUTOENCODER = (*STABLE_AUDIO_OPEN, ("44.1kHz", "21.5Hz", "continuous (64)"))
RATES = (
    "All are evaluated at 44.1kHz. Continuous latents are not comparable to discrete ones, and "
    "different latent rates not strictly. Sorted by latent rate."
)

TABLE_3 = PublishedTable(
    number=3,
    title="Autoencoder reconstructions: AudioCaps Dataset (sounds)",
    kind="reconstruction",
    protocol=AUDIOCAPS.name,
    subsets=(ALL,),
    about=RECONSTRUCTED,
    metrics=DISTANCES,
    rows=(
        PublishedRow(*DAC, (1.04, 0.63, 5.05)),
        PublishedRow(*AUDIOGEN_DISCRETE, (1.10, 0.62, 4.60)),
        PublishedRow(*ENCODEC, (1.82, 1.12, 5.33)),
        PublishedRow(*AUDIOGEN_CONTINUOUS, (1.22, 0.73, 2.04)),
        PublishedRow(*STABLE_AUDIO_1, (1.32, 0.86, 1.81)),
        PublishedRow(*STABLE_AUDIO_2, (1.21, 0.85, 0.33)),
        PublishedRow(*OPEN_AUTOENCODER, (1.25, 0.86, -0.93)),
    ),
    note=RATES,
)

TABLE_4 = PublishedTable(
    number=4,
    title="Autoencoder reconstructions: Song Describer Dataset (instrumental music)",
    kind="reconstruction",
    protocol=SONG_DESCRIBER.name,
    subsets=(NO_SINGING,),
    about=RECONSTRUCTED,
    metrics=DISTANCES,
    rows=(
        PublishedRow(*DAC, (0.96, 0.53, 11.30)),
        PublishedRow(*AUDIOGEN_DISCRETE, (1.16, 0.66, 9.64)),
        PublishedRow(*ENCODEC, (1.70, 1.09, 5.75)),
        PublishedRow(*AUDIOGEN_CONTINUOUS, (1.10, 0.65, 9.21)),
        PublishedRow(*STABLE_AUDIO_1, (1.20, 0.67, 9.12)),
        PublishedRow(*STABLE_AUDIO_2, (1.21, 0.72, 7.65)),
        PublishedRow(*OPEN_AUTOENCODER, (1.29, 0.77, 6.28)),
    ),
    note=RATES,
)

TABLE_5 = PublishedTable(
    number=5,
    title="CLAP score depending on the used prompts",
    kind="generation",
    protocol=AUDIOCAPS.name,
    subsets=(ALL, NO_SPEECH, NO_CONNECTORS, NEITHER),
    about=("prompts", "# files"),
    metrics=(CLAP,),
    rows=(
        PublishedRow(*STABLE_AUDIO_OPEN, ("AudioCaps", "4,875"), (0.29,)),
        PublishedRow(*STABLE_AUDIO_OPEN, ("no speech prompts", "2,765"), (0.31,)),
        PublishedRow(*STABLE_AUDIO_OPEN, ("no connectors prompts", "711"), (0.32,)),
        PublishedRow(*STABLE_AUDIO_OPEN, ("no speech & connectors", "587"), (0.34,)),
    ),
)

TABLE_6 = PublishedTable(
    number=6,
    title="Song Describer Dataset (all dataset with music, not sounds)",
    kind="generation",
    protocol=SONG_DESCRIBER.name,
    subsets=(ALL,),
    about=GENERATED,
    metrics=MUSIC,
    rows=(
        PublishedRow("MusicGen-large-stereo", "[8]", ("2/32kHz", "47"), (193.98, 0.54, 0.30)),
        PublishedRow("Stable Audio 1.0", "[5]", ("2/44.1kHz", "95 sec †"), (139.41, 0.36, 0.40)),
        PublishedRow("Stable Audio 2.0", "[6]", ("2/44.1kHz", "190 sec †"), (72.17, 0.35, 0.44)),
        PublishedRow("Stable Audio 2.0", "[6]", ("2/44.1kHz", "285 sec †"), (80.44, 0.36, 0.43)),
        PublishedRow(*STABLE_AUDIO_OPEN, ("2/44.1kHz", "47"), (99.70, 0.62, 0.43)),
    ),
    note=TRIMMED.format("47 sec"),
)

TABLE_7 = PublishedTable(
    number=7,
    title="Autoencoder reconstructions: Song Describer Dataset (all dataset)",
    kind="reconstruction",
    protocol=SONG_DESCRIBER.name,
    subsets=(ALL,),
    about=RECONSTRUCTED,
    metrics=DISTANCES,
    rows=(
        PublishedRow(*DAC, (0.96, 0.52, 10.83)),
        PublishedRow(*AUDIOGEN_DISCRETE, (1.17, 0.64, 9.27)),
        PublishedRow(*ENCODEC, (1.82, 1.12, 5.33)),
        PublishedRow(*AUDIOGEN_CONTINUOUS, (1.10, 0.64, 8.82)),
        PublishedRow(*STABLE_AUDIO_1, (1.19, 0.67, 8.62)),
        PublishedRow(*STABLE_AUDIO_2, (1.19, 0.71, 7.14)),
        PublishedRow(*OPEN_AUTOENCODER, (1.32, 0.78, 5.78)),
    ),
    note=RATES + " The paper's numbers of Encodec are those of table 3.",
)

TABLES = (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7)


def wanted(kind: Kind, protocol: str) -> dict[str, tuple[str, ...]]:
    """Return, for each subset that a table shows, the names of the metrics measured on it."""
    found: dict[str, tuple[str, ...]] = {}
    for table in TABLES:
        if (table.kind, table.protocol) == (kind, protocol):
            for subset in table.subsets:
                names = (*found.get(subset, ()), *(metric.name for metric in table.metrics))
                found[subset] = tuple(dict.fromkeys(names))
    return found
