"""Mutated shards of latents and of recordings, hostile pickles, and references."""

import hashlib
import io
import json
import shutil
import tarfile
import warnings
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch

from fuzzing.child import UNTOUCHED, Case, SilentLoadError
from fuzzing.damage import damage
from fuzzing.json_damage import damage_json
from fuzzing.models import TEXT_ENCODER, Layout, autoencoder_config, encoding_run
from fuzzing.pickles import CANARY, hostile
from fuzzing.references import draw_reference
from stable_audio_open.audio_models.pickles import read_pickled_weights
from stable_audio_open.builders.data import encoding_of
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.write import build_training_set
from stable_audio_open.data.cache import encode_recordings
from stable_audio_open.data.latent_shards.reading import open_shards, verify_shards
from stable_audio_open.data.recordings import read_recordings
from stable_audio_open.jobs.encode import run_encoding
from stable_audio_open.pretrained import load
from stable_audio_open.pretrained_autoencoder import load_autoencoder

SET = "set"
INDEX = "index.json"
OUTSIDE = ("../victim", "../../../../../victim/model", "a/../../../victim", "/{root}/victim")
STRANGE = ("", ".", "./", "a\\b", "é\u0301" * 80, "x" * 300, "C:\\x", "-", "a/b/c", "\u202ex")


class Archives:
    """Shards of three recordings.

    Args:
        layouts: Small models, by name.
        folder: Where the shards are written.
    """

    def __init__(self, layouts: dict[str, Layout], folder: Path) -> None:
        models = layouts["native"].folder.parent
        self.layouts = layouts
        self.latents = folder / "latents"
        config = encoding_run(models)
        run_encoding(config, self.latents, per_shard=2)
        self.autoencoder = load_autoencoder(layouts["autoencoder"].folder, device="cpu")
        self.encoding = encoding_of(config, self.autoencoder)
        records = [
            CatalogueRecord(
                id=f"x:{path.stem}",
                file=path.name,
                caption="a tone",
                licence="CC0",
                author="ann",
            )
            for path in sorted((models / "recordings").glob("*.flac"))
        ]
        write_catalogue(folder / "catalogue", records)
        self.recordings = folder / "recordings"
        build_training_set(
            folder / "catalogue", models / "recordings", self.recordings, form="shards", per_shard=2
        )

    def draw(self, random: Random, folder: Path) -> Case:
        """Write one that is mutated."""
        draws = (self._draw_latents, self._draw_recordings, self._draw_pickle, draw_reference)
        return random.choice(draws)(random, folder)

    def _draw_latents(self, random: Random, folder: Path) -> Case:
        shutil.copytree(self.latents, folder / SET)
        verify = random.random() < 0.5
        target = partial(read_latents, encoding=self.encoding, verify=verify)
        if random.random() < UNTOUCHED:
            return Case(words="latents: as they were written", target=target, answer="read")
        path = random.choice(
            sorted((folder / SET).glob("*.tar")) + sorted((folder / SET).glob("*.json"))
        )
        content = path.read_bytes()
        words, refused = _damage_member(path, random)
        if path.suffix == ".tar" and path.read_bytes() != content:
            refused = verify
        if path.name.startswith("shard") and path.suffix == ".json" and random.random() < 0.6:
            words += ", and the index knows it"
            refused = False
            index = json.loads((folder / SET / INDEX).read_bytes())
            for shard in index["shards"]:
                if Path(shard["file"]).stem == path.stem:
                    shard["sidecar_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            (folder / SET / INDEX).write_text(json.dumps(index))
        return Case(
            words=f"latents: {path.name}: {words}",
            target=target,
            answer="refused" if refused else None,
        )

    def _draw_recordings(self, random: Random, folder: Path) -> Case:
        shutil.copytree(self.recordings, folder / SET)
        target = partial(encode, autoencoder=self.autoencoder)
        if random.random() < UNTOUCHED:
            return Case(words="recordings: as they were written", target=target, answer="read")
        tars = sorted((folder / SET).glob("*.tar"))
        if random.random() < 0.4:
            path = random.choice([*tars, folder / SET / INDEX])
            words, refused = _damage_member(path, random)
        else:
            path = random.choice(tars)
            words, refused = _rewrite_tar(path, random)
        if path.suffix == ".tar" and random.random() < 0.8:
            _list_again(folder / SET, path)
        return Case(
            words=f"recordings: {path.name}: {words}",
            target=target,
            answer="refused" if refused else None,
        )

    def _draw_pickle(self, random: Random, folder: Path) -> Case:
        content, words = hostile(folder.parent / CANARY, random)
        if random.random() < 0.3:
            (folder / "Cnn14.pth").write_bytes(content)
            return Case(
                words=f"pickle of an audio model: {words}",
                target=partial(read_network, name="Cnn14.pth"),
                answer="refused",
            )
        name, inside = random.choice(
            (
                ("tools_ckpt", "model.ckpt"),
                ("trained", "last.ckpt"),
                ("native", f"{TEXT_ENCODER}/pytorch_model.bin"),
                ("vae", "diffusion_pytorch_model.bin"),
            )
        )
        layout = self.layouts[name]
        shutil.copytree(layout.folder, folder / "model")
        path = folder / "model" / inside
        path.with_name("model.safetensors").unlink(missing_ok=True)
        path.with_suffix(".safetensors").unlink(missing_ok=True)
        path.write_bytes(content)
        text = None if layout.has_text_encoder else self.layouts["native"].folder / TEXT_ENCODER
        return Case(
            words=f"{name}: {inside}: {words}",
            target=partial(load_source, source=f"model/{layout.source}", text_encoder=text),
            answer="refused",
        )


def _damage_member(path: Path, random: Random) -> tuple[str, bool]:
    """Mutate a file; return words, and whether it must be refused."""
    content = path.read_bytes()
    if path.suffix == ".json" and random.random() < 0.75:
        mutated = damage_json(content, random)
        path.write_bytes(mutated.text)
        return mutated.words, mutated.sort in ("constant", "type", "deep")
    if random.random() < 0.05:
        path.unlink()
        path.touch()
        return "is empty", True
    damaged = damage(content, random)
    path.write_bytes(damaged.content)
    return damaged.words, damaged.is_cut and path.suffix == ".json" and not _is_json(
        damaged.content
    )


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _list_again(folder: Path, tar: Path) -> None:
    """Let the index tell size and checksum of a tar as it is."""
    index: dict[str, Any] = json.loads((folder / INDEX).read_bytes())
    content = tar.read_bytes()
    for shard in index["shards"]:
        if shard["file"] == tar.name:
            shard |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / INDEX).write_text(json.dumps(index))


def _rewrite_tar(path: Path, random: Random) -> tuple[str, bool]:
    """Write a tar again with one member changed; return words, and whether it must be refused."""
    with tarfile.open(path) as tar:
        members = [(one, _content(tar, one)) for one in tar.getmembers()]
    number = random.randrange(len(members))
    info, content = members[number]
    what = random.choice(("outside", "outside", "strange", "link", "kind", "twice", "json", "file"))
    words, refused = what, False
    if what in ("outside", "strange"):
        name = random.choice(OUTSIDE if what == "outside" else STRANGE)
        name = name.replace("{root}", str(path.parent.parent.parent).strip("/"))
        words, refused = f"{info.name} is called {name!r}", what == "outside"
        suffix = Path(info.name).suffix
        _describe(members, Path(info.name).stem, f"{name}.flac")
        info.name = f"{name}{suffix}"
    elif what == "link":
        info.type, info.size = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)), 0
        info.linkname = random.choice(("../victim", "/etc/passwd", info.name, "x"))
        words, refused = f"{info.name} is a link to {info.linkname}", True
        members[number] = (info, b"")
    elif what == "kind":
        info.type = random.choice((tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"Z"))
        info.size = 0
        members[number] = (info, b"")
        words = f"{info.name} is of type {info.type!r}"
        refused = info.type != b"Z"
    elif what == "twice":
        members.append((info, content))
        words = f"{info.name} is there twice"
    else:
        texts = [index for index, (one, _) in enumerate(members) if one.name.endswith(".json")]
        number = random.choice(texts)
        info, content = members[number]
        if what == "json":
            mutated = damage_json(content, random)
            content, words = mutated.text, f"{info.name}: {mutated.words}"
            refused = mutated.sort == "constant"
        else:
            value = json.loads(content)
            value["file"] = random.choice((*OUTSIDE, "/etc/passwd", "../set.json", "", "x\0"))
            content, words = json.dumps(value).encode(), f"{info.name}: file is {value['file']!r}"
            refused = True
        info.size = len(content)
        members[number] = (info, content)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for one, data in members:
            tar.addfile(one, io.BytesIO(data))
    return words, refused


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    return b"" if file is None else file.read()


def _describe(members: list[tuple[tarfile.TarInfo, bytes]], key: str, file: str) -> None:
    """Let the JSON of a recording name another file."""
    for number, (info, content) in enumerate(members):
        if info.name == f"{key}.json":
            text = json.dumps(json.loads(content) | {"file": file}).encode()
            info.size = len(text)
            members[number] = (info, text)


def read_latents(folder: Path, *, encoding: Any, verify: bool) -> None:
    """Read all latents of a set, as a training does, or after a look at all checksums."""
    encoded = open_shards(folder / SET, encoding)
    if verify:
        verify_shards(folder / SET)
    for stored in encoded.latents:
        if stored is None:
            raise SilentLoadError("has recordings without latents")
        latents = stored.read(0, stored.frames)
        if latents.shape[-1] != stored.frames or (verify and not torch.isfinite(latents).all()):
            raise SilentLoadError(f"has latents of {list(latents.shape)}, or not of numbers")


def encode(folder: Path, *, autoencoder: Any) -> None:
    """Encode all recordings of a set."""
    config = autoencoder_config()
    cached = encode_recordings(
        autoencoder=autoencoder,
        recordings=read_recordings(folder / SET, INDEX),
        folder=folder / SET,
        cache=folder / "cache",
        channels=config.audio_channels,
        window_samples=1024,
    )
    for stored in cached:
        if stored is None or not torch.isfinite(stored.read(0, stored.frames)).all():
            raise SilentLoadError("has no latents, or not of numbers")


def read_network(folder: Path, *, name: str) -> None:
    """Read a pickle as those of audio models are read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_pickled_weights(folder / name)


def load_source(folder: Path, *, source: str, text_encoder: Path | None) -> None:
    """Load a model."""
    load(folder / source, device="cpu", dtype="float32", text_encoder=text_encoder)
