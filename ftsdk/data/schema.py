"""What a dataset's first good row decides for all rows: the format, and text or messages."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ftsdk.data.fields import Values, list_known
from ftsdk.data.formats import KEYS, PASSES_EXTRA_KEYS, TAKES, Format, name_of, recognise
from ftsdk.data.json_parsing import BadRow
from ftsdk.data.read import Line
from ftsdk.data.stats import counted
from ftsdk.errors import DataError, Problem, nearest
from ftsdk.spec import Dataset
from ftsdk.spec.validation_messages import shown_key

_SEPARATE = "put rows of different formats into different datasets"
_MOST_KEYS = 10  # that are named in warnings


class CanonicalRow(NamedTuple):
    """A row in canonical form."""

    value: Values
    format: str
    """The name of the form."""
    extra: Values
    """Keys of the row that the format does not use."""


class _FirstRow(NamedTuple):
    """What the first good row was, and where."""

    format: Format
    shape: str
    place: str


class Schema:
    """Converts rows to canonical form, and refuses those of another format than the first.

    Args:
        dataset: With the format and the names of columns.
        method: The type of method that will learn from the rows.

    Raises:
        DataError: ``dataset.columns`` contradicts itself.
    """

    def __init__(self, dataset: Dataset, method: str) -> None:
        self._unused: Counter[str] = Counter()
        self._format_name, self._method = dataset.format, method
        self._columns = _checked(dataset.columns)
        self._seen_keys: set[str] = set()  # columns that some row had
        self._first: _FirstRow | None = None

    def canonical(self, line: Line) -> CanonicalRow:
        """The row in canonical form.

        Raises:
            BadRow: It cannot be used, or is of another format than the first.
            DataError: The method cannot learn from such rows.
        """
        row = self._renamed(line.value)
        format_ = self._recognised(frozenset(row))
        extra = {key: row[key] for key in row if key not in format_.uses}
        if extra and self._method not in PASSES_EXTRA_KEYS:
            self._unused.update(extra.keys())
        value = format_.canonical(row)
        name = name_of(value)
        shape = f"{name} in messages" if isinstance(value.get("prompt"), list) else name
        if self._first is None:
            self._first = self._settle(line, format_, name, shape)
        elif shape != self._first.shape:
            raise BadRow(f"the row is {shape}, but {self._first.place} is {self._first.shape}", _SEPARATE)
        return CanonicalRow(value, name, extra)

    def lost_columns(self) -> list[Problem]:
        """The columns in ``dataset.columns`` that no row had so far."""
        return [
            Problem(f"dataset.columns.{key}", f"no row read has the key {shown_key(column)}", "check its spelling")
            for key, column in self._columns.items()
            if key not in self._seen_keys
        ]

    def warnings(self) -> Iterator[str]:
        """Keys that are not used, with the number of rows that have them."""
        optional = self._first.format.uses - self._first.format.needs if self._first else frozenset()
        for key, rows in self._unused.most_common(_MOST_KEYS):
            guess = nearest(key, optional)
            yield counted(rows, f"with the key {shown_key(key)}, which is not used") + (f"; {guess}" if guess else "")

    def _renamed(self, row: Values) -> Values:
        """The row under our names, without nulls: tables fill a key that a row lacks with null."""
        if self._columns:
            renamed = {key: row[column] for key, column in self._columns.items() if column in row}
            self._seen_keys |= renamed.keys()
            replaced = {*self._columns, *self._columns.values()}
            row = {key: row[key] for key in row if key not in replaced} | renamed
        return {key: row[key] for key in row if row[key] is not None} if None in row.values() else row

    def _recognised(self, keys: frozenset[str]) -> Format:
        first = self._first
        if first is None:
            return recognise(keys, self._format_name)
        if missing := first.format.needs - keys:
            raise BadRow(f"the row has no {' and no '.join(sorted(missing))}, but {first.place} has", _SEPARATE)
        format_ = recognise(keys, self._format_name)
        if format_ is not first.format:
            surplus = " and ".join(sorted(format_.needs - first.format.needs))
            raise BadRow(f"the row has {surplus}, but {first.place} has not", _SEPARATE)
        return format_

    def _settle(self, line: Line, format_: Format, name: str, shape: str) -> _FirstRow:
        place = f"{line.file}:{line.line}"
        if name not in TAKES[self._method]:
            takes = " or ".join(TAKES[self._method])
            problem = Problem(place, f"the row is {name}, but {self._method} learns from {takes}")
            raise DataError(
                "the method cannot learn from this dataset",
                problems=[*self.lost_columns(), problem],
                hint="choose another method, set dataset.format, or name your keys in dataset.columns,"
                " such as {completion: response}",
            )
        return _FirstRow(format_, shape, place)


def _checked(columns: dict[str, str]) -> dict[str, str]:
    problems = [
        Problem(f"dataset.columns.{shown_key(key)}", "no format has this key", nearest(key, KEYS) or list_known(KEYS))
        for key in columns
        if key not in KEYS
    ]
    problems += [
        Problem("dataset.columns", f"the column {shown_key(column)} is used {number} times", "use it once")
        for column, number in Counter(columns.values()).items()
        if number > 1
    ]
    if problems:
        raise DataError("the dataset cannot be read", problems=problems)
    return columns
