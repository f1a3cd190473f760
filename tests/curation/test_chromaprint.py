import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stable_audio_open.curation.catalogue.decisions import read_decisions
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.duplicates.chromaprint import (
    COMMON,
    agreeing_pairs,
    align,
    command,
    fingerprint_files,
)
from stable_audio_open.curation.duplicates.stage import decide_duplicates

pytestmark = pytest.mark.numerical

needs_fpcalc = pytest.mark.skipif(shutil.which("fpcalc") is None, reason="fpcalc is not installed")


def values(count: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32)


def flipped(fingerprint: np.ndarray, share: float) -> np.ndarray:
    """Flip one bit in some of the values."""
    rng = np.random.default_rng(1)
    bits = np.left_shift(np.uint32(1), rng.integers(0, 32, len(fingerprint), dtype=np.uint32))
    return np.where(rng.random(len(fingerprint)) < share, fingerprint ^ bits, fingerprint)


def pairs(fingerprints: list[np.ndarray], **settings: float) -> list[tuple[int, int]]:
    (found,) = agreeing_pairs(fingerprints, **settings)
    return list(zip(found.first.tolist(), found.second.tolist(), strict=True))


@pytest.mark.parametrize("shift", [-24, -3, 0, 7, 24])
def test_alignment_finds_the_shift_and_counts_bits(shift: int) -> None:
    whole = values(300)
    one, other = whole[24:224], flipped(whole[24 + shift : 224 + shift], 0.5)
    found = align(one, other)
    assert found.shift == shift
    assert found.agreement == pytest.approx(1 - 0.5 / 32, abs=0.005)
    assert align(other, one).agreement == found.agreement


def test_what_is_not_alike() -> None:
    assert align(values(), values(seed=2)).agreement == pytest.approx(0.5, abs=0.05)
    assert align(values()[:15], values()[:15]).agreement == 0
    assert align(values(0), values()).agreement == 0
    # A short piece at an end does not make copies: half of the shorter must agree.
    assert align(values()[:40], np.concatenate([values(30, 3), values()[:10]])).agreement < 0.8


def test_pairs_among_those_that_share_values() -> None:
    copy = flipped(values(), 0.6)
    assert pairs([values(), values(seed=2), copy[5:], values(0)]) == [(0, 2)]
    assert pairs([values(), flipped(values(), 1.0)]) == []
    assert pairs([values(), copy], agreement=0.999) == []
    assert pairs([]) == []
    # What too many share is no evidence.
    assert len(pairs([values(20)] * COMMON)) == COMMON * (COMMON - 1) // 2
    assert pairs([values(20)] * (COMMON + 1)) == []


def music(seconds: int = 20, seed: int = 0) -> np.ndarray:
    """Notes of a random melody with overtones."""
    rng = np.random.default_rng(seed)
    time = np.arange(11025) / 44100
    notes = [
        sum(np.sin(2 * np.pi * k * f * time) / k for k in range(1, 6)) * np.exp(-6 * time)
        for f in 220 * 2 ** (rng.integers(0, 24, 4 * seconds) / 12)
    ]
    return 0.2 * np.concatenate(notes)


@needs_fpcalc
def test_encodings_and_levels_of_a_recording(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    soundfile.write(audio / "a.wav", music(), 44100)
    soundfile.write(audio / "b.mp3", 0.5 * music()[44100:], 44100)
    soundfile.write(audio / "c.ogg", music(seed=1), 44100)
    soundfile.write(audio / "short.wav", music(1), 44100)
    soundfile.write(audio / "odd.wav", np.zeros((99, 2)), 44100)
    names = ["a.wav", "b.mp3", "c.ogg", "short.wav", "odd.wav"]
    catalogue = tmp_path / "catalogue"
    write_catalogue(catalogue, [CatalogueRecord(id=name, file=name) for name in names])
    assert decide_duplicates(catalogue, audio, chromaprint=True) == (5, 0, 1, 0)
    (decision,) = read_decisions(catalogue)
    assert (decision.id, decision.verdict, decision.stage) == ("b.mp3", "review", "duplicates")
    assert decision.reason.startswith("near copy of a.wav (agreement 0.9")


@needs_fpcalc
def test_known_fingerprints_need_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", music(), 44100)
    hashes = {"a.wav": "1", "b.wav": "2"}
    (made,) = fingerprint_files(["a.wav"], hashes, tmp_path, tmp_path / "list")
    assert len(made) > 100
    with (tmp_path / "list" / "chromaprint.jsonl").open("a") as file:
        file.write('{"hash": "2", "val')
    monkeypatch.setenv("PATH", "")
    (again,) = fingerprint_files(["a.wav"], hashes, tmp_path, tmp_path / "list")
    np.testing.assert_array_equal(again, made)
    with pytest.raises(ValueError, match="the command fpcalc is not there"):
        fingerprint_files(["b.wav"], hashes, tmp_path, tmp_path / "list")
    with pytest.raises(ValueError, match=r"libchromaprint-tools\), or search without"):
        command()


@pytest.mark.parametrize(("bits", "alike"), [(640, True), (641, False)])
def test_nine_bits_in_ten_make_a_copy(bits: int, alike: bool) -> None:
    """Of 6,400, all in the first 33 values, so that the others are shared."""
    one = values(200)
    places = np.arange(bits)
    flips = np.zeros(200, dtype=np.uint32)
    np.bitwise_or.at(flips, places // 20, np.left_shift(1, places % 20).astype(np.uint32))
    other = one ^ flips
    assert align(one, other).agreement == pytest.approx(1 - bits / 6400, abs=1e-12)
    assert pairs([one, other]) == ([(0, 1)] if alike else [])
