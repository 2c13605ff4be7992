"""The rows of a dataset, checked one by one; and a report on all of them."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, NoReturn

from ftsdk.data.json_parsing import BadRow
from ftsdk.data.paths import local_paths
from ftsdk.data.read import read_rows
from ftsdk.data.report import DataReport
from ftsdk.data.schema import Schema
from ftsdk.data.source import BOM, open_file
from ftsdk.data.stats import DatasetStats
from ftsdk.errors import DataError, Problem
from ftsdk.files import sha256
from ftsdk.redact import redact
from ftsdk.spec import Dataset

MOST_PROBLEMS = 20
"""Problems that one error lists; more would only make the message longer."""


class Row(NamedTuple):
    """One row in canonical form."""

    value: dict[str, Any]
    """The keys of its format: ``messages``; ``prompt`` and ``completion``; ``text``; ``chosen`` and ``rejected``."""
    format: str
    """The canonical format."""
    file: str
    line: int
    """Where it begins, counted from 1."""
    extra: dict[str, Any] = {}
    """Keys that the format does not use, with their values."""


class _TooManyProblems(Exception):
    """As many problems were collected as an error lists."""


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
        DataError: With up to twenty problems, each with file and line, after the columns that no row has.
    """
    problems: list[Problem] = []

    def collect(problem: Problem) -> None:
        problems.append(problem)
        if len(problems) >= MOST_PROBLEMS:
            raise _TooManyProblems

    # columns that no row has come first in the error: they are the cause of most problems with rows
    schema, stats = Schema(dataset, method), DatasetStats()
    try:
        for row in _read(dataset, schema, collect):
            stats.add(row.value, row.format)
    except _TooManyProblems:
        pass  # the error below lists those so far
    if all_problems := [*schema.lost_columns(), *problems]:
        more = f"; its first {MOST_PROBLEMS} problems" if len(problems) == MOST_PROBLEMS else ""
        raise DataError(f"the dataset cannot be used{more}", problems=all_problems)
    return DataReport(
        format=stats.format,
        rows=stats.rows,
        sha256={str(path.absolute()): sha256(path) for path in local_paths(dataset)},
        characters=stats.characters,
        warnings=(*_byte_order_marks(dataset), *stats.warnings(), *schema.warnings()),
    )


def _read(dataset: Dataset, schema: Schema, on_problem: Callable[[Problem], None]) -> Iterator[Row]:
    return islice(_read_all(dataset, schema, on_problem), dataset.max_samples)


def _read_all(dataset: Dataset, schema: Schema, on_problem: Callable[[Problem], None]) -> Iterator[Row]:
    for path in local_paths(dataset):
        for line in read_rows(path, on_problem):
            try:
                row = schema.canonical(line)
            except BadRow as error:
                on_problem(Problem(f"{line.file}:{line.line}", error.cause, error.fix))
            else:
                yield Row(row.value, row.format, line.file, line.line, row.extra)


def _byte_order_marks(dataset: Dataset) -> Iterator[str]:
    for path in local_paths(dataset):
        with open_file(path) as file:
            if file.read(len(BOM)) == BOM:
                yield f"{redact(str(path))} begins with a byte order mark, which some systems refuse"
