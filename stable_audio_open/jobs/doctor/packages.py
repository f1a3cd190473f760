"""Python, the packages that this library needs, and the optional parts that are there."""

import platform
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from stable_audio_open.jobs.doctor.finding import Finding

PACKAGE = "stable-audio-open"
NOT_PARTS = frozenset({"dev", "all"})
"""Extras that name other extras, and development."""


def python_finding() -> Finding:
    """Say which Python this is, and whether the library is made for it."""
    found = platform.python_version()
    wanted = metadata.metadata(PACKAGE)["Requires-Python"]
    where = f"{found} on {platform.system()} {platform.machine()}"
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return Finding(subject="Python", state="ok", detail=where)
    remedy = f"install a Python {wanted} and this library for it"
    return Finding(subject="Python", state="fault", detail=where, remedy=remedy)


def package_findings() -> list[Finding]:
    """Return one finding for each package that is always needed."""
    return [_needed(requirement) for requirement in requirements() if _applies(requirement)]


def extra_findings() -> list[Finding]:
    """Return one finding for each optional part."""
    names = sorted(set(metadata.metadata(PACKAGE).get_all("Provides-Extra") or ()) - NOT_PARTS)
    return [_extra(name) for name in names]


def requirements() -> list[Requirement]:
    """Return what the installed library asks for, extras included."""
    return [Requirement(line) for line in metadata.requires(PACKAGE) or ()]


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _needed(requirement: Requirement) -> Finding:
    found = _version(requirement.name)
    remedy = f'pip install "{_bare(requirement)}"'
    if found is None:
        return Finding(
            subject=requirement.name, state="fault", detail="not installed", remedy=remedy
        )
    if not requirement.specifier.contains(found, prereleases=True):
        detail = f"{found}, but {requirement.specifier} is needed"
        return Finding(subject=requirement.name, state="warning", detail=detail, remedy=remedy)
    return Finding(subject=requirement.name, state="ok", detail=found)


def _extra(name: str) -> Finding:
    wanted = [one for one in requirements() if _applies(one, name) and not _applies(one)]
    found = {one: _version(one.name) for one in wanted}
    remedy = f'pip install "{PACKAGE}[{name}]"'
    missing = [one.name for one in wanted if found[one] is None]
    if missing:
        detail = f"without {_list(missing)}"
        return Finding(subject=name, state="missing", detail=detail, remedy=remedy)
    unfit = [
        f"{one.name} {version} (needs {one.specifier})"
        for one, version in found.items()
        if version is not None and not one.specifier.contains(version, prereleases=True)
    ]
    if unfit:
        return Finding(subject=name, state="warning", detail=_list(unfit), remedy=remedy)
    versions = _list(f"{one.name} {version}" for one, version in found.items())
    return Finding(subject=name, state="ok", detail=versions)


def _bare(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
