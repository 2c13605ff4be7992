"""The rows of a dataset, checked one by one; and a report on all of them."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from ftsdk.data.formats import TAKES, canonical, recognise
from ftsdk.data.places import local_paths
from ftsdk.data.read import Line, read_rows
from ftsdk.data.report import DataReport
from ftsdk.data.strict import BadRow
from ftsdk.errors import DataError, Problem
from ftsdk.files import sha256
from ftsdk.spec import Dataset

MOST_PROBLEMS = 20
_LONG = 200_000  # characters; some 50,000 tokens


class Row(NamedTuple):
    """One row in canonical form."""

    value: dict[str, Any]
    """The keys of its format: ``messages``; ``prompt`` and ``completion``; ``text``; ``chosen`` and ``rejected``."""
    format: str
    """The canonical format."""
    file: str
    line: int
    """Where it begins, from 1."""


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

    yield from itertools.islice(_checked(dataset, method, fail), dataset.max_samples)


def check(dataset: Dataset, method: str) -> DataReport:
    """Read and check every row.

    Raises:
        DataError: With up to twenty problems, each with file and line.
    """
    problems: list[Problem] = []

    def collect(problem: Problem) -> None:
        problems.append(problem)
        if len(problems) >= MOST_PROBLEMS:
            raise _Enough

    tally = _Tally()
    try:
        for row in itertools.islice(_checked(dataset, method, collect), dataset.max_samples):
            tally.add(row)
    except _Enough:
        pass  # the rest would only make the message longer
    if problems:
        first = "the first " if len(problems) >= MOST_PROBLEMS else ""
        raise DataError(f"the dataset cannot be used; {first}{len(problems)} problem(s):", problems=problems)
    if not tally.rows:
        raise DataError(f"dataset.path: {', '.join(dataset.paths)} holds no rows", hint="give a file with rows")
    return DataReport(
        format=tally.format,
        rows=tally.rows,
        sha256={str(path.absolute()): sha256(path) for path in local_paths(dataset)},
        characters=tally.characters,
        warnings=tally.warnings(),
    )


class _Tally:
    """Counts what is worth a look."""

    def __init__(self) -> None:
        self.format, self.rows, self.characters = "", 0, 0
        self._seen: set[int] = set()
        self._counts = dict.fromkeys(_WORTH_A_LOOK, 0)

    def add(self, row: Row) -> None:
        """Count one row."""
        text = repr(row.value)
        self.format = row.format
        self.rows += 1
        self.characters += len(text)
        signs = {
            "duplicates": hash(text) in self._seen,
            "long": len(text) > _LONG,
            "no_choice": row.format == "preference" and row.value["chosen"] == row.value["rejected"],
        }
        self._seen.add(hash(text))
        for sign, found in signs.items():
            self._counts[sign] += found

    def warnings(self) -> tuple[str, ...]:
        """The counts in words."""
        said = [words.format(self._counts[sign]) for sign, words in _WORTH_A_LOOK.items() if self._counts[sign]]
        return (*said, *(["there is one row only: it can be learned by heart, not from"] if self.rows == 1 else []))


_WORTH_A_LOOK = {
    "duplicates": "{} row(s) stand in the dataset more than once",
    "long": "{} row(s) are longer than 200,000 characters and will likely be cut at training.max_length",
    "no_choice": "{} row(s) have the same answer as chosen and as rejected: they teach nothing",
}


def _checked(dataset: Dataset, method: str, on_bad: Callable[[Problem], None]) -> Iterator[Row]:
    first: tuple[str, Line] | None = None
    renames = {there: here for here, there in dataset.columns.items()}
    for line in itertools.chain.from_iterable(read_rows(path, on_bad) for path in local_paths(dataset)):
        try:
            value = {renames.get(key, key): part for key, part in line.value.items()}
            name = _format(value, dataset, method) if first is None else first[0]
            first = first or (name, line)
            becomes, row = _one_shape(value, name, first[1], line)
            yield Row(row, becomes, line.file, line.line)
        except BadRow as bad:
            on_bad(Problem(f"{line.file}:{line.line}", bad.what, bad.fix))


def _format(value: dict[str, Any], dataset: Dataset, method: str) -> str:
    """The format that the first row sets for all."""
    name = recognise(value, dataset.format)
    becomes, _ = canonical(value, name)
    if becomes not in TAKES[method]:
        raise DataError(
            f"the method {method} cannot learn from rows of the format {becomes}",
            hint=f"{method} takes {' or '.join(TAKES[method])}",
        )
    return name


def _one_shape(value: dict[str, Any], name: str, setter: Line, line: Line) -> tuple[str, dict[str, Any]]:
    try:
        return canonical(value, name)
    except BadRow as bad:
        other = _other_format(value, name)
        if other is None or line == setter:
            raise
        raise BadRow(
            f"the row is of the format {other}, but {setter.file}:{setter.line} has set {name}",
            "put rows of different formats into different datasets",
        ) from bad


def _other_format(value: dict[str, Any], name: str) -> str | None:
    try:
        other = recognise(value, "auto")
    except BadRow:
        return None
    return other if other != name else None
