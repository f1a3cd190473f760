import pytest

from stable_audio_open.arguments.checks import rounded_down


@pytest.mark.parametrize(
    ("limit", "digits", "shown"),
    [
        (131072 / 44100, 2, "2.97"),
        (130048 / 44100, 3, "2.948"),
        (88199 / 44100, 3, "1.999"),
        (0.29, 2, "0.29"),
        (1, 3, "1.000"),
        (3600.0, 2, "3600.00"),
    ],
)
def test_what_is_read_of_a_limit_is_within_it(limit: float, digits: int, shown: str) -> None:
    assert rounded_down(limit, digits) == shown
    assert float(shown) <= limit
