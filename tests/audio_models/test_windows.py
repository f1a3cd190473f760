from stable_audio_open.audio_models.windows import covering, striding


def test_windows_every_half_as_the_paper_counts_them() -> None:
    """10 s every 5 s: one for 10 s, 9 for 47 s, and never none."""
    counts = {1: 1, 99: 1, 100: 1, 101: 2, 149: 2, 150: 2, 151: 3, 470: 9}
    assert {n: len(striding(n, 100, 50)) for n in counts} == counts
    assert striding(470, 100, 50) == list(range(0, 401, 50))


def test_the_fewest_windows_that_cover() -> None:
    assert covering(30, 100) == covering(100, 100) == [0]
    assert covering(250, 100) == [0, 75, 150]
    for length in range(1, 400):
        starts = covering(length, 100)
        heard = {sample for start in starts for sample in range(start, start + 100)}
        assert heard >= set(range(length))
