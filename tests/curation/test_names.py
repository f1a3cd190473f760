import pytest

from stable_audio_open.curation.known_works.names import comparable, unordered


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("The Beatles", "beatles"),
        ("Beatles, The", "beatles"),
        ("BEYONCÉ", "beyonce"),
        ("Sigur Rós", "sigur ros"),
        ("Mötley Crüe", "motley crue"),
        ("Røyksopp", "royksopp"),
        ("Weiß", "weiss"),
        ("Simon & Garfunkel", "simon and garfunkel"),
        ("Can't Stop", "cant stop"),
        ("Can\u2019t Stop", "cant stop"),
        ("AC/DC", "ac dc"),
        ("  Two\tspaces ", "two spaces"),
        ("Umbrella feat. Jay-Z", "umbrella"),
        ("Umbrella (ft. Jay-Z) [Live]", "umbrella"),
        ("Umbrella FEATURING Jay-Z", "umbrella"),
        ("Help! (Remastered 2009)", "help"),
        ("Help! - Remastered 2009", "help"),
        ("Help - I need somebody", "help i need somebody"),
        ("Defeat", "defeat"),
        ("Live Forever", "live forever"),
        ("(Untitled)", "untitled"),
        ("!!!", "!!!"),
        ("The", "the"),
        ("The The", "the"),
        ("Кино", "кино"),
        ("", ""),
    ],
)
def test_comparable(name: str, wanted: str) -> None:
    assert comparable(name) == wanted
    assert comparable(comparable(name)) in (wanted, comparable(wanted))


def test_unordered() -> None:
    assert unordered(comparable("Lennon, John")) == unordered(comparable("John Lennon"))
