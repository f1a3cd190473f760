import re

import pytest

from stable_audio_open.listeners.named import load_clip_tagger, load_embedder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openl3:none.h5", "none.h5: no such file; download openl3_audio_mel256_env-v0_4_0.h5.gz"),
        ("passt:none.pt", "none.pt: no such file; download passt-s-f128-p16-s10-ap.476-swa.pt"),
        ("panns:none.pth", "none.pth: no such file; download Cnn14_mAP=0.431.pth of PANNs from ht"),
        ("clap:none.pt", "none.pt: no such folder or file; download 630k-audioset-fusion-best.pt"),
        ("openl3", "no embedder 'openl3'; allowed: clap:FOLDER, clap:FILE.pt, openl3:FILE.h5, p"),
    ],
)
def test_what_is_missing_is_named_with_its_download(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        load_embedder(name)
    if name.startswith("pa"):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            load_clip_tagger(name)


def test_taggers_of_clips() -> None:
    with pytest.raises(ValueError, match=r"no tagger of clips 'musicnn'; allowed: passt:FILE\.pt"):
        load_clip_tagger("musicnn")
