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
    return [problem for requirement in _requirements() if (problem := _problem_with(requirement))]


def _requirements() -> Iterator[Requirement]:
    for line in metadata.requires("ftsdk") or []:
        requirement = Requirement(line)
        marker = requirement.marker
        # True with the extra and false without it: markers of the platform alone belong to the core.
        if marker and marker.evaluate({"extra": EXTRA}) and not marker.evaluate({"extra": ""}):
            yield requirement


def _problem_with(requirement: Requirement) -> Problem | None:
    name, specifier = requirement.name, requirement.specifier
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Problem(name, "is not installed", INSTALL)
    if specifier.contains(version, prereleases=True):
        return None
    return Problem(name, f"{version} is installed, which is too old: {specifier} is needed", INSTALL)
