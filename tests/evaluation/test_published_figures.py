"""Every number of tables 1 to 7, typed from the paper a second time."""

import pytest

from stable_audio_open.evaluation.report.published import TABLES, PublishedRow

GENERATION = {
    1: """
        AudioLDM2-48kHz [4]    1/48kHz    10 sec     101.11  2.04  0.37
        AudioLDM2-large [4]    1/16kHz    10 sec     170.31  1.57  0.41
        AudioGen-medium [20]   1/16kHz    10 sec     186.53  1.42  0.45
        Stable Audio 1.0 [5]   2/44.1kHz  95 sec †   103.66  2.89  0.24
        Stable Audio 2.0 [6]   2/44.1kHz  190 sec †  116.14  2.67  0.24
        Stable Audio 2.0 [6]   2/44.1kHz  285 sec †  110.62  2.70  0.23
        Stable Audio Open      2/44.1kHz  47 sec †    78.24  2.14  0.29
    """,
    2: """
        MusicGen-large-stereo [8]  2/32kHz    47         190.47  0.52  0.31
        Stable Audio 1.0 [5]       2/44.1kHz  95 sec †   142.50  0.40  0.38
        Stable Audio 2.0 [6]       2/44.1kHz  190 sec †   71.25  0.37  0.42
        Stable Audio 2.0 [6]       2/44.1kHz  285 sec †   81.05  0.39  0.42
        Stable Audio Open          2/44.1kHz  47          96.51  0.55  0.41
    """,
    5: """
        Stable Audio Open  AudioCaps               4,875  0.29
        Stable Audio Open  no speech prompts       2,765  0.31
        Stable Audio Open  no connectors prompts   711    0.32
        Stable Audio Open  no speech & connectors  587    0.34
    """,
    6: """
        MusicGen-large-stereo [8]  2/32kHz    47         193.98  0.54  0.30
        Stable Audio 1.0 [5]       2/44.1kHz  95 sec †   139.41  0.36  0.40
        Stable Audio 2.0 [6]       2/44.1kHz  190 sec †   72.17  0.35  0.44
        Stable Audio 2.0 [6]       2/44.1kHz  285 sec †   80.44  0.36  0.43
        Stable Audio Open          2/44.1kHz  47          99.70  0.62  0.43
    """,
}

AUTOENCODERS = """
    DAC [21]              44.1kHz  86Hz    discrete         | 1.04 0.63 5.05 | 0.96 0.53 11.30 | 0.96 0.52 10.83
    AudioGen [20]         48kHz    50Hz    discrete         | 1.10 0.62 4.60 | 1.16 0.66 9.64 | 1.17 0.64 9.27
    Encodec [22, 8]       32kHz    50Hz    discrete         | 1.82 1.12 5.33 | 1.70 1.09 5.75 | 1.82 1.12 5.33
    AudioGen [20]         48kHz    100Hz   continuous (32)  | 1.22 0.73 2.04 | 1.10 0.65 9.21 | 1.10 0.64 8.82
    Stable Audio 1.0 [5]  44.1kHz  43Hz    continuous (64)  | 1.32 0.86 1.81 | 1.20 0.67 9.12 | 1.19 0.67 8.62
    Stable Audio 2.0 [6]  44.1kHz  21.5Hz  continuous (64)  | 1.21 0.85 0.33 | 1.21 0.72 7.65 | 1.19 0.71 7.14
    Stable Audio Open     44.1kHz  21.5Hz  continuous (64)  | 1.25 0.86 -0.93 | 1.29 0.77 6.28 | 1.32 0.78 5.78
"""  # noqa: E501
"""Tables 3, 4 and 7, which have the same rows; the last is called "Ours" there."""


def described(row: PublishedRow) -> tuple[str, ...]:
    name = row.model if row.source == "(published)" else f"{row.model} {row.source}"
    return (name, *row.about)


def cells(text: str) -> list[list[str]]:
    """Cells have two blanks or more between them."""
    rows = [line.strip() for line in text.strip().splitlines()]
    return [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]


@pytest.mark.parametrize("number", sorted(GENERATION))
def test_figures_of_generations(number: int) -> None:
    table = TABLES[number - 1]
    count = len(table.metrics)
    wanted = [(*row[:-count], *map(float, row[-count:])) for row in cells(GENERATION[number])]
    assert [(*described(row), *row.values) for row in table.rows] == wanted


@pytest.mark.parametrize(("place", "number"), [(0, 3), (1, 4), (2, 7)])
def test_figures_of_reconstructions(place: int, number: int) -> None:
    wanted = []
    for line in AUTOENCODERS.strip().splitlines():
        about, *figures = line.split(" | ")
        wanted.append((*cells(about)[0], *map(float, figures[place].split())))
    assert [(*described(row), *row.values) for row in TABLES[number - 1].rows] == wanted


def test_columns_and_titles() -> None:
    quality = [("fd_openl3", "lower"), ("kl_passt", "lower"), ("clap_score", "higher")]
    distances = [("stft_distance", "lower"), ("mel_distance", "lower"), ("si_sdr", "higher")]
    assert {
        table.number: (
            table.kind,
            table.protocol,
            table.subsets,
            [(metric.name, metric.better) for metric in table.metrics],
        )
        for table in TABLES
    } == {
        1: ("generation", "audiocaps", ("all",), quality),
        2: ("generation", "song-describer", ("no-singing",), quality),
        3: ("reconstruction", "audiocaps", ("all",), distances),
        4: ("reconstruction", "song-describer", ("no-singing",), distances),
        5: (
            "generation",
            "audiocaps",
            ("all", "no-speech", "no-connectors", "no-speech-no-connectors"),
            quality[2:],
        ),
        6: ("generation", "song-describer", ("all",), quality),
        7: ("reconstruction", "song-describer", ("all",), distances),
    }
