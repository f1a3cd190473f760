import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stable_audio_open.audio_models.passt.checkpoint import load_network, load_passt
from stable_audio_open.audio_models.passt.network import (
    PasstEmbedder,
    PasstSpectrogram,
    kaldi_filters,
)

passt = pytest.importorskip("hear21passt.models.passt")
preprocess = pytest.importorskip("hear21passt.models.preprocess")

pytestmark = pytest.mark.numerical

State = dict[str, Tensor]


def random_state(width: int = 64, depth: int = 2, classes: int = 6) -> State:
    """What hear21passt's own network of this size saves."""
    with torch.random.fork_rng():
        network = passt.PaSST(
            img_size=(128, 998), patch_size=16, stride=(10, 10), in_chans=1, num_classes=classes,
            embed_dim=width, depth=depth, num_heads=width // 64, distilled=True,
        )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    state: State = network.state_dict()
    for tensor in state.values():
        tensor.normal_(std=0.2, generator=generator)
    return state


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "passt-s-f128-p16-s10-ap.476-swa.pt"
    torch.save(random_state(), path)
    return path


def noise(seconds: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(int(32000 * seconds)) / 32000
    return 0.1 * torch.randn(len(time), generator=generator) * (2 + time).sin()


@pytest.mark.filterwarnings("ignore:stft with return_complex=False:UserWarning")
@pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning")
def test_the_front_end_is_that_of_the_package() -> None:
    theirs = preprocess.AugmentMelSTFT(
        n_mels=128, sr=32000, win_length=800, hopsize=320, n_fft=1024, freqm=48, timem=192,
        htk=False, fmin=0.0, fmax=None, norm=1, fmin_aug_range=10, fmax_aug_range=2000,
    ).eval()  # fmt: skip
    audio = noise(2)[None]
    found = PasstSpectrogram()(audio)
    torch.testing.assert_close(found, theirs(audio), rtol=1e-4, atol=1e-4)  # float32 mels
    assert found.shape == (1, 128, 1 + 63999 // 320)


def test_the_filters_are_triangles_over_kaldis_mel() -> None:
    filters = kaldi_filters()
    hertz = torch.arange(513, dtype=torch.float64) * 31.25
    peaks = filters.argmax(dim=1)[40:]
    middles = 700 * ((torch.arange(41, 129) / 129 * 1127 * torch.tensor(1 + 15000 / 700).log()
                      / 1127).exp() - 1)  # fmt: skip
    assert (hertz[peaks] - middles).abs().max() <= 31.25 / 2 + 1
    assert not filters[:, hertz > 15000].any()
    # Neighbours cross over: between the first and the last middle they add up to 1.
    inside = filters.sum(dim=0)[(hertz > 50) & (hertz < 14500)]
    torch.testing.assert_close(inside, torch.ones_like(inside))


def test_a_checkpoint_is_heard_as_by_the_package(checkpoint: Path) -> None:
    """Windows cut by hand, through a network that the package built and loaded itself."""
    tagger = load_passt(checkpoint)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]
    assert tagger.name == f"PaSST {checkpoint.name} sha256:{digest}"
    network = passt.PaSST(
        img_size=(128, 998), patch_size=16, stride=(10, 10), in_chans=1, num_classes=6,
        embed_dim=64, depth=2, num_heads=1, distilled=True,
    ).eval()  # fmt: skip
    network.load_state_dict(torch.load(checkpoint))
    network.patch_embed.img_size = (128, 1000)
    audio = noise(17)
    padded = torch.cat([audio, torch.zeros(3 * 32000)])  # the third window is 10..20 s
    windows = torch.stack([padded[start:][:320_000] for start in (0, 160_000, 320_000)])
    with torch.inference_mode():
        wanted, features = network(PasstSpectrogram()(windows)[:, None])
    found = tagger.logits(audio)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(PasstEmbedder(tagger)(audio), features, rtol=1e-4, atol=1e-5)


def test_windows_of_ten_seconds_every_five(checkpoint: Path) -> None:
    tagger = load_passt(checkpoint)
    assert [len(tagger.logits(noise(s))) for s in (0.1, 10, 10.1, 17)] == [1, 1, 2, 3]
    assert tagger.logits(noise(17)).mean(dim=0).softmax(dim=0).std() > 1e-3


def test_nothing_is_printed_and_nothing_drawn(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passt.first_RUN = True
    before = torch.random.get_rng_state()
    load_passt(checkpoint).logits(noise(1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_published_size_is_loaded() -> None:
    network = load_network(random_state(width=768, depth=12, classes=527), "here").eval()
    heads = [block.attn.num_heads for block in network.blocks]
    assert heads == [12] * 12
    patches = 12 * 99
    with torch.inference_mode():
        grid = network.patch_embed(torch.zeros(1, 1, 128, 1000))
    assert grid.shape[2] * grid.shape[3] == patches
    assert network.time_new_pos_embed.shape == (1, 768, 1, 99)


def drop(state: State) -> None:
    del state["blocks.1.mlp.fc1.bias"]


def add(state: State) -> None:
    state["pos_embed"] = torch.zeros(3)


def shorter(state: State) -> None:
    state["time_new_pos_embed"] = state["time_new_pos_embed"][..., :62]


def no_token(state: State) -> None:
    del state["cls_token"]


def whole_numbers(state: State) -> None:
    state["cls_token"] = state["cls_token"].to(torch.int32)


def not_finite(state: State) -> None:
    state["cls_token"][0, 0, 1] = -torch.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"blocks\.1\.mlp\.fc1\.bias has the shape of nothing, where PaSST has \[256\]; dow"),
        (add, r"pos_embed has the shape \[3\], where PaSST has no such tensor"),
        (shorter, r"time_new_pos_embed has the shape \[1, 64, 1, 62\], .* has \[1, 64, 1, 99\]"),
        (no_token, "holds no tensor cls_token; download passt-s-f128-p16-s10-ap.476-swa.pt"),
        (whole_numbers, "cls_token is of the type int32; allowed: "),
        (not_finite, "cls_token holds infinity; allowed: "),
    ],
)
def test_another_network_is_refused(change: Callable[[State], None], message: str) -> None:
    state = random_state()
    change(state)
    with pytest.raises(ValueError, match=f"^here: {message}"):
        load_network(state, "here")


def test_missing_files_and_packages(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"x\.pt: no such file; download passt-s-f128-p16-s10-ap"):
        load_passt(checkpoint.with_name("x.pt"))
    other = checkpoint.with_name("x.pt")
    other.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"x\.pt: cannot be read as a checkpoint"):
        load_passt(other)
    torch.save({"epoch": 3}, other)
    with pytest.raises(ValueError, match=r"x\.pt: holds no dictionary of tensors"):
        load_passt(other)
    for name in [name for name in sys.modules if name.startswith("hear21passt")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hear21passt", None)
    with pytest.raises(ValueError, match=r"needs the package hear21passt: pip install .*\[eval\]"):
        load_passt(checkpoint)
