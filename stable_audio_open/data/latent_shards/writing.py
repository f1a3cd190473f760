"""Recordings encoded into WebDataset shards, by any number of processes."""

import hashlib
import logging
import os
import re
import tarfile
from collections.abc import Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import msgspec
from jaxtyping import Float
from msgspec import UNSET
from safetensors.torch import save
from torch import Tensor
from webdataset import TarWriter

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.data.encoding import ENTRY, FORMAT, LatentEncoder, encode_recording
from stable_audio_open.data.faults import Fault, refuse_too_many, write_report
from stable_audio_open.data.latent_shards.reading import (
    Encoding,
    LatentIndex,
    ListedShard,
    Place,
    Shard,
    read_json,
    shard_path,
    sidecar_path,
    size_of,
)
from stable_audio_open.data.latents import Moments
from stable_audio_open.data.manifest import Recording
from stable_audio_open.files.archives.tars import size_and_time
from stable_audio_open.files.atomic import replace_bytes, written_beside
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.manifest import INDEX

REPORT = "unusable_recordings.csv"

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """What is to be encoded, and how it is cut into shards: the same in every process."""

    recordings: Sequence[Recording]
    """Lines of the manifest; two may share a file."""
    folder: Path
    """Where the recordings are."""
    output: Path
    """Where the shards go."""
    encoding: Encoding
    """That of the autoencoder."""
    per_shard: int
    """Recordings in each shard but the last."""
    most_unusable: float
    """Share of the recordings that may be unreadable."""

    @property
    def shards(self) -> int:
        """How many there will be."""
        return -(-len(self.recordings) // self.per_shard)

    def rows(self, number: int) -> Sequence[Recording]:
        """Return the recordings of a shard."""
        return self.recordings[number * self.per_shard : (number + 1) * self.per_shard]

    def made_from(self, number: int) -> str:
        """Return the checksum of all that decides a shard; it opens no recording."""
        rows = []
        for recording in self.rows(number):
            rows.append((recording, *size_and_time(self.folder / recording.file)))
        content = (FORMAT, self.encoding, number * self.per_shard, rows)
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()

    def refuse_too_many(self, faults: Sequence[Fault]) -> None:
        """Write the report and raise AudioFileError when too many recordings are unusable."""
        by_file = {fault.file: fault for fault in faults}
        if not by_file:
            return
        report, last = self.output / REPORT, faults[-1].reason
        if len(by_file) > self.most_unusable * len(self.recordings):
            write_report(report, by_file.values())
        refuse_too_many(
            len(by_file),
            recordings=len(self.recordings),
            most=self.most_unusable,
            report=report,
            last=last,
        )


def encode_shards(
    plan: Plan, autoencoder: LatentEncoder, *, rank: int = 0, processes: int = 1
) -> int:
    """Write the shards that fall to this process, but those that are there already.

    Shard i is made by process i modulo their number, and holds the same bytes whoever makes it.
    A shard counts as there when its list is, which is written last.

    Args:
        plan: The same in every process.
        autoencoder: Where its weights are, the recordings are encoded.
        rank: Number of this process.
        processes: Number of processes.

    Returns:
        How many shards were made.

    Raises:
        AudioFileError: When too many recordings of this process cannot be read.
    """
    plan.output.mkdir(parents=True, exist_ok=True)
    faults: list[Fault] = []
    made = 0
    for number in range(rank, plan.shards, processes):
        key = plan.made_from(number)
        shard = _existing(plan, number, key)
        if shard is None:
            shard = _make(plan, number, autoencoder, key=key, before=faults)
            made += 1
            size = shard.bytes / 1e6
            logger.info("shard %d of %d written, %.1f MB", number + 1, plan.shards, size)
        faults += shard.unusable
        plan.refuse_too_many(faults)
    return made


def write_index(plan: Plan) -> LatentIndex:
    """Write the index of complete shards and the report, and remove what no longer belongs there.

    Raises:
        AudioFileError: When too many recordings, or all, cannot be read.
        ValueError: When a shard is missing or was made from something else.
    """
    listed: list[ListedShard] = []
    faults: list[Fault] = []
    moments = Moments()
    for number in range(plan.shards):
        path = shard_path(plan.output, number)
        shard = _existing(plan, number, plan.made_from(number))
        if shard is None:
            raise ValueError(
                f"{path}: is missing or does not hold the recordings as they are now, as when they "
                "are changed meanwhile; run the same command again"
            )
        moments += shard.moments
        faults += shard.unusable
        listed.append(
            ListedShard(
                file=path.name,
                sha256=shard.sha256,
                bytes=shard.bytes,
                recordings=len(shard.recordings),
                sidecar_sha256=file_hash(sidecar_path(path)),
            )
        )
    plan.refuse_too_many(faults)
    write_report(plan.output / REPORT, dict.fromkeys(faults))
    if not moments.numbers:
        raise AudioFileError(
            f"none of the {len(plan.recordings)} recordings can be used; {faults[-1].reason}"
        )
    index = LatentIndex(
        format=FORMAT,
        encoding=plan.encoding,
        spread=moments.spread,
        recordings=sum(shard.recordings for shard in listed),
        unusable=len(faults),
        shards=tuple(listed),
    )
    content = msgspec.json.format(msgspec.json.encode(index), indent=2)
    replace_bytes(plan.output / INDEX, content + b"\n")
    _remove_leftovers(plan)
    return index


def _existing(plan: Plan, number: int, key: str) -> Shard | None:
    """Return a shard that was written completely and from the same, if there is one."""
    path = shard_path(plan.output, number)
    if not sidecar_path(path).is_file():
        return None
    try:
        shard, _ = read_json(sidecar_path(path), Shard)
    except ValueError as error:
        logger.warning("%s", error)
        return None
    return shard if shard.made_from == key and size_of(path) == shard.bytes else None


def _make(
    plan: Plan, number: int, autoencoder: LatentEncoder, *, key: str, before: Sequence[Fault]
) -> Shard:
    """Encode the recordings of a shard, and write the tar and then its list."""
    path = shard_path(plan.output, number)
    for partial in plan.output.glob(f".{path.stem}.*.part"):  # of a process that was killed
        partial.unlink()
    # From here until the new list is written, there is no such shard.
    sidecar_path(path).unlink(missing_ok=True)
    with written_beside(path) as partial:
        with partial.open("xb") as file:
            contents = _write_tar(file, plan, number, autoencoder, before=before)
            file.flush()
            os.fsync(file.fileno())
        with tarfile.open(partial, "r:") as tar:
            spans = {member.name: (member.offset_data, member.size) for member in tar}
        digest, size = file_hash(partial), partial.stat().st_size
    places = []
    for row in contents.rows:
        offset, length = spans[f"{row.key}.safetensors"]
        places.append(Place(**row._asdict(), offset=offset, length=length))
    shard = Shard(
        made_from=key,
        sha256=digest,
        bytes=size,
        recordings=tuple(places),
        unusable=tuple(contents.unusable),
        moments=contents.moments,
    )
    replace_bytes(sidecar_path(path), msgspec.json.encode(shard))
    return shard


class _ShardRow(NamedTuple):
    key: str
    frames: int
    seconds: float
    recording: Recording


class _Contents(NamedTuple):
    """What was written into a tar."""

    rows: list[_ShardRow]
    unusable: list[Fault]
    moments: Moments


def _write_tar(
    file: BufferedIOBase,
    plan: Plan,
    number: int,
    autoencoder: LatentEncoder,
    *,
    before: Sequence[Fault],
) -> _Contents:
    """Encode the recordings of a shard into a tar."""
    rows: list[_ShardRow] = []
    faults: list[Fault] = []
    moments = Moments()
    # No time and no owner: the same recordings give the same bytes.
    with TarWriter(file, encoder=False, compress=False, mtime=0) as tar:
        for place, recording in enumerate(plan.rows(number), start=number * plan.per_shard):
            try:
                made = encode_recording(
                    autoencoder,
                    plan.folder / recording.file,
                    channels=plan.encoding.audio_channels,
                    window_samples=plan.encoding.window_samples,
                )
            except AudioFileError as error:
                logger.warning("recording left out: %s", error)
                faults.append(Fault(recording.file, str(error)))
                plan.refuse_too_many([*before, *faults])
                continue
            row = _ShardRow(f"{place:09d}", made.posterior.shape[-1], made.seconds, recording)
            tar.write({"__key__": row.key, **_members(plan.encoding, row, made.posterior)})
            rows.append(row)
            moments += Moments.of(made.posterior)
    return _Contents(rows, faults, moments)


def _members(
    encoding: Encoding, row: _ShardRow, posterior: Float[Tensor, "2 latent_channels frames"]
) -> dict[str, bytes]:
    """Return the files of a recording, by their suffixes."""
    said = msgspec.structs.asdict(row.recording)
    other = said.pop("other")
    described = {
        **({} if other is UNSET else other),
        **{name: value for name, value in said.items() if value is not UNSET},
        "seconds": row.seconds,
        "frames": row.frames,
        "sample_rate": encoding.sample_rate,
        "downsampling": encoding.downsampling,
        "encoder": encoding.encoder,
        "format": FORMAT,
    }
    text = msgspec.json.encode(described)
    # One entry, because safetensors writes several in any order.
    return {"json": text, "safetensors": save({ENTRY: posterior}, {"recording": text.decode()})}


def _remove_leftovers(plan: Plan) -> None:
    """Remove half-written files, and shards of an earlier run that had more of them."""
    for path in plan.output.iterdir():
        shard = re.fullmatch(r"shard-(\d+)\.(tar|json)", path.name)
        partial = re.fullmatch(r"\.(shard-\d+|index)\..*\.part", path.name)
        if partial or (shard and int(shard[1]) >= plan.shards):
            path.unlink()
            logger.info("%s: removed, it is not part of this set", path)
