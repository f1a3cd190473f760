"""Recordings of Debian packages, each under the licence that its copyright file gives it."""

import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from stable_audio_open.audio.paths import SUFFIXES, audio_files
from stable_audio_open.curation.catalogue.ingest import SourceRow
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.licences.debian_copyright import (
    CopyrightFile,
    Stanza,
    accepted_licence,
    read_copyright,
    stanza_of,
)
from stable_audio_open.curation.sources.folder import checked_info

NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
PROGRAMS = ("apt-get", "dpkg-deb")
COPYRIGHT = "usr/share/doc/{package}/copyright"


def read_debian(package: str, folder: Path) -> Iterator[SourceRow]:
    """Yield a row for each recording of a package.

    Args:
        package: Name of a binary package, such as `sonic-pi-samples`.
        folder: Where packages are unpacked, each in a folder of its name; fetched by `apt-get`
            where it is not there.

    Raises:
        ValueError: The name cannot be one, the package cannot be fetched, or its copyright file is
            missing or not machine-readable.
        OSError: A file cannot be read or written.
    """
    if not NAME.fullmatch(package):
        raise ValueError(
            f"{package!r} is no name of a Debian package; give names such as sonic-pi-samples, and "
            "with --audio the folder that holds their folders"
        )
    root = folder / package
    if not root.exists():
        fetch(package, root)
    path = root / COPYRIGHT.format(package=package)
    if not path.is_file():
        raise ValueError(
            f"{path}: not there; {root} must be the package {package}, unpacked by dpkg-deb -x"
        )
    copyright = read_copyright(path)
    files = [one.relative_to(root).as_posix() for one in audio_files(root, tell=False)]
    stanzas = stanza_of(copyright, files)
    for position, file in enumerate(files, start=1):
        record, reason = None, ""
        try:
            record = _record(root, package, file, (stanzas[file], copyright))
        except (ValueError, OSError) as error:
            reason = str(error)
        yield SourceRow(source=str(root), position=position, raw=file, record=record, reason=reason)


def _record(
    root: Path, package: str, file: str, said: tuple[tuple[Stanza, ...], CopyrightFile]
) -> CatalogueRecord:
    stanzas, copyright = said
    licences = {stanza.licence for stanza in stanzas}
    if not stanzas:
        raise ValueError("the copyright file says nothing of it")
    if len(licences) > 1:
        raise ValueError(f"the copyright file can be read as {' and as '.join(sorted(licences))}")
    info = checked_info(root / file)
    [stanza, *_] = stanzas
    return CatalogueRecord(
        id=f"debian:{package}/{file}",
        title=PurePosixPath(file).stem,
        licence=accepted_licence(stanza.licence),
        author=stanza.holders or None,
        page_url=stanza.address or copyright.source,
        file=f"{package}/{file}",
        duration=info.duration,
        sample_rate=info.sample_rate,
        channels=info.channels,
    )


def fetch(package: str, root: Path) -> None:
    """Fetch a package and unpack its recordings and its copyright file; needs no root.

    Args:
        package: Name of a binary package.
        root: Folder to make, whole or not at all.

    Raises:
        ValueError: The programs of Debian are missing, or one failed.
        OSError: The folder cannot be written.
    """
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise ValueError(
                f"{program} is not installed, so {package} cannot be fetched; unpack the package "
                f"elsewhere, and put it at {root}"
            )
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{package}-", dir=root.parent) as temporary:
        beside = Path(temporary)
        done = subprocess.run(
            ["apt-get", "download", package], cwd=beside, capture_output=True, text=True
        )
        archives = list(beside.glob("*.deb"))
        if done.returncode or len(archives) != 1:
            fault = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ValueError(
                f"apt-get download {package} failed ({fault}); run apt-get update, or unpack the "
                f"package yourself at {root}"
            )
        unpacked = beside / "unpacked"
        _unpack(archives[0], unpacked)
        unpacked.rename(root)


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir()
    with tempfile.TemporaryFile() as said:
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said)
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                for member in tar:
                    if member.isfile() and _wanted(member.name):
                        tar.extract(member, folder, filter="data")
        except tarfile.TarError as error:
            raise ValueError(f"{archive.name}: cannot be unpacked ({error})") from error
        finally:
            # What is left unread: dpkg-deb would wait for a reader.
            if process.stdout is not None:
                process.stdout.close()
            process.wait()


def _wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES or path.match("usr/share/doc/*/copyright")
