"""Split rows into those to train on and held-out ones: the same rows on every backend, for the same seed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ftsdk.data import Row, rows
from ftsdk.errors import DataError
from ftsdk.spec import Dataset

Read = Callable[[], Iterator[Row]]


def held_out(rows: int, val_size: float, seed: int) -> frozenset[int]:
    """The indices of the rows to hold out.

    Args:
        rows: Rows in all.
        val_size: A share below 1, or a number of rows; at least one row is held out. 0: none.
        seed: Decides the draw.

    Raises:
        DataError: No row would be left to train on.
    """
    if val_size == 0:
        return frozenset()
    count = max(round(val_size * rows), 1) if val_size < 1 else int(val_size)
    if count >= rows:
        raise DataError(
            f"val_size={val_size:g} would hold out {count} of {rows} rows and leave none to train on",
            hint="lower val_size, or add rows",
        )
    import numpy as np  # noqa: PLC0415 - only where rows are held out

    return frozenset(np.random.default_rng(seed).permutation(rows)[:count].tolist())


def split_rows(request: Mapping[str, Any]) -> tuple[Read, Read | None]:
    """Functions that read the rows to learn from, and the held-out ones where there are any; each can be called again.

    Args:
        request: ``dataset``, ``eval_dataset``, ``val_size``, ``seed`` and ``method``, as a native request keeps them.
    """
    method, dataset = request["method"], Dataset.model_validate(request["dataset"])
    if request["val_size"]:
        number = sum(1 for _ in rows(dataset, method))
        indices = held_out(number, request["val_size"], request["seed"])

        def part(*, in_held_out: bool) -> Iterator[Row]:
            return (row for index, row in enumerate(rows(dataset, method)) if (index in indices) is in_held_out)

        return lambda: part(in_held_out=False), lambda: part(in_held_out=True)
    if request["eval_dataset"]:
        second = Dataset.model_validate(request["eval_dataset"])
        return lambda: iter(rows(dataset, method)), lambda: iter(rows(second, method))
    return lambda: iter(rows(dataset, method)), None
