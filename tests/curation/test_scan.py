from pathlib import Path

import numpy as np
import pytest
import soundfile

from stable_audio_open.curation.catalogue.decisions import read_decisions
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.scan import scan_catalogue, scan_recording
from stable_audio_open.settings import ScanSettings

NOISE = 0.1 * np.random.default_rng(0).standard_normal((8000, 2))


def record(file: str) -> CatalogueRecord:
    return CatalogueRecord(id=f"folder:{file}", file=file)


def scanned(folder: Path, samples: object, name: str = "a.wav", **more: object) -> tuple[str, str]:
    soundfile.write(folder / name, samples, 8000, **more)
    decision = scan_recording(record(name), folder)
    assert decision.stage == "audio"
    return decision.verdict, decision.reason


def test_a_sound_recording_is_kept_with_its_peak(tmp_path: Path) -> None:
    square = np.tile([0.5, -0.5], 8000)
    assert scanned(tmp_path, square) == ("keep", "peak -6.0 dB, 2.0 s")


def test_silence_is_digital_or_dither_and_nothing_louder(tmp_path: Path) -> None:
    assert scanned(tmp_path, 0 * NOISE) == ("drop", "silent: peak -inf dB, 1.0 s")
    dither = np.random.default_rng(0).integers(-2, 3, 8000).astype(np.int16)
    assert scanned(tmp_path, dither) == ("drop", "silent: peak -84.3 dB, 1.0 s")
    assert scanned(tmp_path, 2 * dither) == ("keep", "peak -78.3 dB, 1.0 s")


def test_one_loud_sample_at_the_end_is_not_silence(tmp_path: Path) -> None:
    samples = np.zeros((1 << 20) + 1)
    samples[-1] = 0.1
    assert scanned(tmp_path, samples)[0] == "keep"


def test_faults_in_the_middle_of_a_file(tmp_path: Path) -> None:
    """Where neither header nor end tells them."""
    broken = NOISE.astype(np.float32)
    broken[4000] = np.nan
    reason = "holds NaN or infinite samples; export the recording again or leave it out"
    assert scanned(tmp_path, broken, subtype="FLOAT") == ("drop", reason)
    soundfile.write(tmp_path / "a.flac", NOISE, 8000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    (tmp_path / "a.flac").write_bytes(content)
    decision = scan_recording(record("a.flac"), tmp_path)
    assert (decision.verdict, decision.reason[:30]) == ("drop", "the file is truncated or damag")


def test_channels_paths_and_missing_files(tmp_path: Path) -> None:
    seven = np.tile(NOISE[:, :1], 7)
    reason = "7 channels, more than 2; mix it down first"
    assert scanned(tmp_path, seven) == ("drop", reason)
    verdict, reason = scanned(tmp_path, NOISE, "a\n\U0001f941.wav")
    assert (verdict, reason) == (
        "drop",
        "the path holds control characters ('a\\n\U0001f941.wav'); rename the file",
    )
    assert scanned(tmp_path, NOISE, "\U0001f941\u00a0\u3000\u00fc.wav")[0] == "keep"
    assert scan_recording(record("gone.wav"), tmp_path).reason == "no such file; check the path"


def test_a_catalogue_again_and_after_a_repair(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", NOISE, 8000)
    soundfile.write(tmp_path / "bad.wav", 0 * NOISE, 8000)
    records = [record("good.wav"), record("bad.wav"), CatalogueRecord(id="freesound:1")]
    write_catalogue(tmp_path / "c", records)
    first = scan_catalogue(tmp_path / "c", tmp_path)
    assert first == {"keep": 1, "drop": 1, "no file": 1}
    again = scan_catalogue(tmp_path / "c", tmp_path)
    assert again == {"before": 1, "drop": 1, "no file": 1}
    assert len(read_decisions(tmp_path / "c")) == 2
    soundfile.write(tmp_path / "bad.wav", NOISE, 8000)
    assert scan_catalogue(tmp_path / "c", tmp_path) == {"before": 1, "keep": 1, "no file": 1}
    assert [d.verdict for d in read_decisions(tmp_path / "c")] == ["keep", "drop", "keep"]
    other = ScanSettings(most_channels=1)
    assert scan_catalogue(tmp_path / "c", tmp_path, other) == {"drop": 2, "no file": 1}


def test_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="silence_db must be below 0, got 0"):
        ScanSettings(silence_db=0.0)
    with pytest.raises(ValueError, match="most_channels must be at least 1, got 0"):
        ScanSettings(most_channels=0)
