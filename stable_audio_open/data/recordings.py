"""The recordings of a training: lines of a manifest, or the shards that `curate build` wrote."""

from pathlib import Path, PurePosixPath

import msgspec

from stable_audio_open.data.manifest import Recording, read_manifest
from stable_audio_open.files.archives.tars import ArchiveError, members
from stable_audio_open.files.inside import is_inside, is_name
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.pipes_and_devices import refuse_special
from stable_audio_open.files.text import not_utf8
from stable_audio_open.manifest import INDEX, MEASURED, SetIndex, SetShard

AGAIN = "copy the set again, or build it again with `stable-audio-open curate build --form shards`"


class _Described(Recording, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """KEY.json of a shard."""

    seconds: float
    sample_rate: int
    channels: int
    record: msgspec.Raw
    """The whole record of the catalogue."""


def read_recordings(folder: str | Path, manifest: str = "manifest.jsonl") -> list[Recording]:
    """Read the recordings of a folder, in their order.

    Those of shards have files such as `shard-000000.tar/000000012.flac`, which are read in place.

    Args:
        folder: Folder of the recordings.
        manifest: Relative to the folder: one JSON object a line, or the `index.json` of shards.

    Raises:
        ValueError: Naming the file: it is missing, damaged, or not what it should be.
    """
    folder = Path(folder)
    path = folder / manifest
    if path.name == INDEX:
        inside = PurePosixPath(manifest).parent
        # Latents are kept by the names of recordings, so these stay below the folder.
        if not is_inside(manifest):
            raise ValueError(
                f"manifest is {manifest!r}; give the path of an {INDEX} inside {folder}, or a "
                "folder that holds it"
            )
        return _read_shards(path, inside)
    if not path.exists() and holds_recordings(folder):
        raise ValueError(
            f"{path}: is not there, but the {INDEX} of a set in shards is; set manifest={INDEX}"
        )
    return read_manifest(folder, manifest)


def holds_recordings(folder: Path) -> bool:
    """Return whether a folder holds a set of recordings in shards, and not one of latents."""
    if not (folder / INDEX).is_file():
        return False
    try:
        msgspec.json.decode((folder / INDEX).read_bytes(), type=SetIndex)
    except (OSError, *NOT_JSON):
        return False
    return True


def _read_shards(path: Path, inside: PurePosixPath) -> list[Recording]:
    """Read the shards of an index, which lie in `inside`, relative to the folder."""
    index = _read_index(path)
    found: list[Recording] = []
    for shard in index.shards:
        found += _read_shard(path, shard, inside / shard.file)
    if len(found) != index.recordings or not found:
        raise ValueError(
            f"{path}: lists {index.recordings} recordings, its shards {len(found)}; {AGAIN}"
        )
    return found


def _read_index(path: Path) -> SetIndex:
    refuse_special(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read ({error.strerror}); give the folder of a set in shards"
        ) from error
    try:
        return msgspec.json.decode(content, type=SetIndex)
    except NOT_JSON as error:
        if b'"encoding"' in content:
            raise ValueError(
                f"{path}: lists latents, not recordings; train on them with "
                '{"type": "shards", "path": ...}'
            ) from error
        raise ValueError(f"{path}: not the index of a set in shards ({error}); {AGAIN}") from error


def _read_shard(index: Path, shard: SetShard, inside: PurePosixPath) -> list[Recording]:
    """Read what a tar says of its recordings, after a look at its size.

    Args:
        index: Its path.
        shard: Its entry in the index.
        inside: The tar, relative to the folder of the recordings.
    """
    if not is_name(shard.file) or inside.suffix != ".tar":
        raise ValueError(
            f"{index}: a shard is named {shard.file!r}; allowed: names of .tar files beside it"
        )
    tar = index.with_name(shard.file)
    try:
        size = tar.stat().st_size
        if size != shard.bytes:
            raise ValueError(f"{tar}: holds {size} bytes instead of {shard.bytes}; {AGAIN}")
        held = members(tar)
        with tar.open("rb") as file:
            described: list[_Described] = []
            for name, span in held.items():
                if name.endswith(".json"):
                    file.seek(span.offset)
                    described.append(_decode(file.read(span.size), f"{tar}/{name}"))
    except FileNotFoundError as error:
        raise ValueError(f"{tar}: is missing; {AGAIN}") from error
    except OSError as error:
        raise ValueError(f"{tar}: cannot be read ({error.strerror}); {AGAIN}") from error
    except ArchiveError as error:
        raise ValueError(str(error)) from error
    for one in described:
        if not is_inside(one.file):
            raise ValueError(f"{tar}: describes {one.file!r}, a path that leads out of it; {AGAIN}")
        if one.file not in held:
            raise ValueError(f"{tar}/{one.file}: is described in the tar but missing; {AGAIN}")
    if len(described) != shard.recordings:
        raise ValueError(
            f"{tar}: holds {len(described)} recordings instead of {shard.recordings}; {AGAIN}"
        )
    names = Recording.__struct_fields__
    return [
        Recording(
            **{n: getattr(one, n) for n in names}
            | {"file": str(inside / one.file), "other": {n: getattr(one, n) for n in MEASURED}}
        )
        for one in described
    ]


_decoder = msgspec.json.Decoder(_Described)


def _decode(content: bytes, where: str) -> _Described:
    if fault := not_utf8(content):
        raise ValueError(f"{where}: {fault}")
    try:
        one = _decoder.decode(content)
    except NOT_JSON as error:
        allowed = ", ".join(_Described.__struct_fields__)
        raise ValueError(f"{where}: {error}; the fields are {allowed}") from error
    if not one.caption.strip():
        raise ValueError(f"{where}: the caption is empty; {AGAIN}")
    return one
