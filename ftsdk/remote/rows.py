"""Convert rows to a service's format, and write them to a file for the upload."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.data import MOST_PROBLEMS, Row
from ftsdk.errors import DataError, Problem, RejectedError
from ftsdk.files import sha256
from ftsdk.job_types import Reason

NativeRow = dict[str, Any]
"""One row in a service's format."""


class UnsupportedRow(ValueError):
    """A service cannot learn from a row.

    Args:
        reason: Why; it quotes nothing of the row.
        fix: What to do about it.
    """

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


class RowsFile(NamedTuple):
    """A file that is ready to be uploaded."""

    path: Path
    sha256: str
    size: int
    """Bytes."""
    rows: int


def convert_rows(
    rows: Iterable[Row], convert: Callable[[Mapping[str, Any]], NativeRow], message: str
) -> Iterator[NativeRow]:
    """Each row in a service's format.

    Args:
        rows: As the user wrote them.
        convert: Raises :class:`UnsupportedRow`.
        message: Of the error, if there is one.

    Raises:
        DataError: At the end, or at the twentieth problem: with file and line of each row that is not supported.
    """
    problems: list[Problem] = []
    for row in rows:
        try:
            yield convert(row.value)
        except UnsupportedRow as error:
            problems.append(Problem(f"{row.file}:{row.line}", str(error), error.fix))
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise DataError(message, problems=problems)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], separators: tuple[str, str] = (", ", ": ")) -> RowsFile:
    """Write a file with one JSON object on each line.

    Raises:
        DataError: From ``rows``.
        RejectedError: The disk is full.
    """
    count = 0
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, separators=separators) + "\n")
                count += 1
    except OSError as error:
        raise RejectedError(
            f"the rows cannot be written for the upload: {error.strerror}",
            reason=Reason.DISK_FULL.value,
            hint="free disk space for temporary files, or set TMPDIR to a larger disk",
        ) from error
    return RowsFile(path, sha256(path), path.stat().st_size, count)
