"""The rows of a dataset, checked one by one; and a report on all of them."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, NoReturn

from ftsdk.data.json_parsing import BadRow
from ftsdk.data.paths import local_paths
from ftsdk.data.read import read_rows
from ftsdk.data.report import DataReport
from ftsdk.data.schema import Schema
from ftsdk.data.source import BOM, opened
from ftsdk.data.stats import Tally
from ftsdk.errors import DataError, Problem
from ftsdk.files import sha256
from ftsdk.redact import redact
from ftsdk.spec import Dataset

MOST_PROBLEMS = 20


class Row(NamedTuple):
    """One row in canonical form."""

    value: dict[str, Any]
    """The keys of its format: ``messages``; ``prompt`` and ``completion``; ``text``; ``chosen`` and ``rejected``."""
    format: str
    """The canonical format."""
    file: str
    line: int
    """Where it begins, counted from 1."""
    others: dict[str, Any] = {}
    """Keys that the format has no use for, with their values."""


class _Enough(Exception):
    """There are enough problems to show."""


def rows(dataset: Dataset, method: str) -> Iterator[Row]:
    """The rows of local files in canonical form, in order, each checked.

    Args:
        dataset: With local paths only.
        method: The type of method that will learn from them, such as ``sft``.

    Raises:
        DataError: At the first row that cannot be used, with file and line.
    """

    def fail(problem: Problem) -> NoReturn:
        raise DataError("the dataset cannot be used", problems=[problem])

    yield from _read(dataset, Schema(dataset, method), fail)


def check(dataset: Dataset, method: str) -> DataReport:
    """Read and check every row of local files.

    Args:
        dataset: With local paths only.
        method: The type of method that will learn from them, such as ``sft``.

    Raises:
        DataError: With up to twenty problems, each with file and line; before them, columns that no row has.
    """
    problems: list[Problem] = []

    def collect(problem: Problem) -> None:
        problems.append(problem)
        if len(problems) >= MOST_PROBLEMS:
            raise _Enough

    schema, tally = Schema(dataset, method), Tally()
    try:
        for row in _read(dataset, schema, collect):
            tally.add(row.value, row.format)
    except _Enough:
        pass  # more would only make the message longer
    if found := [*schema.lost_columns(), *problems]:
        more = f"; its first {MOST_PROBLEMS} problems" if len(problems) == MOST_PROBLEMS else ""
        raise DataError(f"the dataset cannot be used{more}", problems=found)
    return DataReport(
        format=tally.format,
        rows=tally.rows,
        sha256={str(path.absolute()): sha256(path) for path in local_paths(dataset)},
        characters=tally.characters,
        warnings=(*_marked(dataset), *tally.warnings(), *schema.warnings()),
    )


def _read(dataset: Dataset, schema: Schema, on_bad: Callable[[Problem], None]) -> Iterator[Row]:
    return islice(_all(dataset, schema, on_bad), dataset.max_samples)


def _all(dataset: Dataset, schema: Schema, on_bad: Callable[[Problem], None]) -> Iterator[Row]:
    for path in local_paths(dataset):
        for line in read_rows(path, on_bad):
            try:
                row = schema.canonical(line)
            except BadRow as bad:
                on_bad(Problem(f"{line.file}:{line.line}", bad.what, bad.fix))
            else:
                yield Row(row.value, row.format, line.file, line.line, row.others)


def _marked(dataset: Dataset) -> Iterator[str]:
    for path in local_paths(dataset):
        with opened(path) as file:
            if file.read(len(BOM)) == BOM:
                yield f"{redact(str(path))} begins with a byte order mark, which some systems refuse"
