"""What the engine needs on this machine, checked without importing any of it."""

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from ftsdk.errors import Problem

EXTRA = "local"
INSTALL = "pip install --upgrade 'ftsdk[local]'"


def check() -> list[Problem]:
    """One problem for each package that is missing or too old.

    The versions are those of the extra ``local``. Below some of them, loading a model's files can run foreign code.
    """
    return [problem for need in _needs() if (problem := _missing(need))]


def _needs() -> Iterator[Requirement]:
    for line in metadata.requires("ftsdk") or []:
        need = Requirement(line)
        if need.marker and need.marker.evaluate({"extra": EXTRA}) and not need.marker.evaluate({"extra": ""}):
            yield need


def _missing(need: Requirement) -> Problem | None:
    try:
        version = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return Problem(need.name, "is not installed", INSTALL)
    if need.specifier.contains(version, prereleases=True):
        return None
    return Problem(need.name, f"{version} is installed, which is too old: {need.specifier} is needed", INSTALL)
