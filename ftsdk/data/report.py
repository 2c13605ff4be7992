"""Counts and warnings of a dataset, before anything is trained on it."""

from pathlib import Path

from ftsdk.errors import DataError, Problem
from ftsdk.files import sha256
from ftsdk.redact import redact
from ftsdk.spec.base import Section


class DataReport(Section):
    """Counts of one dataset, taken while every row was checked."""

    format: str
    """The recognised format."""
    rows: int
    """Rows that can be used."""
    sha256: dict[str, str]
    """From each local file's absolute path to the hash of its bytes."""
    characters: int = 0
    """Characters of text in all, calls and tools included."""
    warnings: tuple[str, ...] = ()
    """What is valid but may be a mistake, with counts."""


def check_unchanged(report: DataReport | None) -> None:
    """Compare the files of a dataset with their hashes in the plan.

    Args:
        report: Of the plan; None: no local file was read for it.

    Raises:
        DataError: Some were changed or removed: each is named.
    """
    hashes = report.sha256 if report else {}
    changes = [name for name, expected in hashes.items() if not Path(name).is_file() or sha256(Path(name)) != expected]
    if changes:
        raise DataError(
            "the dataset is no longer the same as when the plan was made",
            problems=[Problem(redact(name), "changed or removed") for name in changes],
            hint="restore it and resume, or submit again",
        )
