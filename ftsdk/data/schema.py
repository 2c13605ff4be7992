"""What a dataset's first good row settles for all others: the format, and text or messages."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ftsdk.data.fields import Values, one_of
from ftsdk.data.formats import GIVES_OTHERS, KEYS, TAKES, Format, name_of, recognise
from ftsdk.data.json_parsing import BadRow
from ftsdk.data.read import Line
from ftsdk.data.stats import counted
from ftsdk.errors import DataError, Problem, nearest
from ftsdk.spec import Dataset
from ftsdk.spec.validation_messages import shown_key

_APART = "put rows of different shapes into different datasets"
_MOST_KEYS = 10  # that are named in warnings


class Canonical(NamedTuple):
    """A row in canonical form."""

    value: Values
    format: str
    """The name of the form."""
    others: Values
    """What the row has beside it."""


class _Settled(NamedTuple):
    """What the first good row was, and where."""

    format: Format
    shape: str
    place: str


class Schema:
    """Brings rows into canonical form and holds them to the shape of the first.

    Args:
        dataset: Says the format and the names of columns.
        method: The type of method that will learn from the rows.

    Raises:
        DataError: ``dataset.columns`` makes no sense.
    """

    def __init__(self, dataset: Dataset, method: str) -> None:
        self._unused: Counter[str] = Counter()
        self._wanted, self._method = dataset.format, method
        self._columns = _checked(dataset.columns)
        self._found: set[str] = set()  # columns that some row had
        self._settled: _Settled | None = None

    def canonical(self, line: Line) -> Canonical:
        """The row in canonical form.

        Raises:
            BadRow: It cannot be used, or is of another shape than the first.
            DataError: The method cannot learn from such rows.
        """
        row = self._renamed(line.value)
        format_ = self._recognised(frozenset(row))
        others = {key: row[key] for key in row if key not in format_.uses}
        if others and self._method not in GIVES_OTHERS:
            self._unused.update(others.keys())
        value = format_.canonical(row)
        name = name_of(value)
        shape = f"{name} in messages" if isinstance(value.get("prompt"), list) else name
        if self._settled is None:
            self._settled = self._settle(line, format_, name, shape)
        elif shape != self._settled.shape:
            raise BadRow(f"the row is {shape}, but {self._settled.place} is {self._settled.shape}", _APART)
        return Canonical(value, name, others)

    def lost_columns(self) -> list[Problem]:
        """What ``dataset.columns`` names and no row had so far."""
        return [
            Problem(f"dataset.columns.{ours}", f"no row read has the key {shown_key(theirs)}", "check its spelling")
            for ours, theirs in self._columns.items()
            if ours not in self._found
        ]

    def warnings(self) -> Iterator[str]:
        """Keys that are not used, with the number of rows that have them."""
        optional = self._settled.format.uses - self._settled.format.needs if self._settled else frozenset()
        for key, rows in self._unused.most_common(_MOST_KEYS):
            guess = nearest(key, optional)
            yield counted(rows, f"with the key {shown_key(key)}, which is not used") + (f"; {guess}" if guess else "")

    def _renamed(self, row: Values) -> Values:
        """The row under our names, without nulls: tables fill a key that a row lacks with null."""
        if self._columns:
            named = {ours: row[theirs] for ours, theirs in self._columns.items() if theirs in row}
            self._found |= named.keys()
            gone = {*self._columns, *self._columns.values()}
            row = {key: row[key] for key in row if key not in gone} | named
        return {key: row[key] for key in row if row[key] is not None} if None in row.values() else row

    def _recognised(self, keys: frozenset[str]) -> Format:
        first = self._settled
        if first is None:
            return recognise(keys, self._wanted)
        if missing := first.format.needs - keys:
            raise BadRow(f"the row has no {' and no '.join(sorted(missing))}, but {first.place} has", _APART)
        found = recognise(keys, self._wanted)
        if found is not first.format:
            surplus = " and ".join(sorted(found.needs - first.format.needs))
            raise BadRow(f"the row has {surplus}, but {first.place} has not", _APART)
        return found

    def _settle(self, line: Line, format_: Format, name: str, shape: str) -> _Settled:
        place = f"{line.file}:{line.line}"
        if name not in TAKES[self._method]:
            takes = " or ".join(TAKES[self._method])
            problem = Problem(place, f"the row is {name}, but {self._method} learns from {takes}")
            raise DataError(
                "the dataset does not suit the method",
                problems=[*self.lost_columns(), problem],
                hint="choose another method, set dataset.format, or name your keys in dataset.columns,"
                " such as {completion: response}",
            )
        return _Settled(format_, shape, place)


def _checked(columns: dict[str, str]) -> dict[str, str]:
    problems = [
        Problem(f"dataset.columns.{shown_key(ours)}", "no format has this key", nearest(ours, KEYS) or one_of(KEYS))
        for ours in columns
        if ours not in KEYS
    ]
    problems += [
        Problem("dataset.columns", f"the column {shown_key(theirs)} is given {number} times", "give it once")
        for theirs, number in Counter(columns.values()).items()
        if number > 1
    ]
    if problems:
        raise DataError("the dataset cannot be read", problems=problems)
    return columns
