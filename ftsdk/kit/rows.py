"""The rows of a plan: unchanged since it was made, and parted into those to learn from and those to hold out."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftsdk.backend import Plan
from ftsdk.data import Row, rows
from ftsdk.errors import DataError
from ftsdk.files import sha256
from ftsdk.kit.holdout import held_out
from ftsdk.redact import redact
from ftsdk.spec import Dataset

Read = Callable[[], Iterator[Row]]


def check_unchanged(plan: Plan) -> None:
    """See that every file is as it was when the plan was made.

    Raises:
        DataError: One was changed or removed.
    """
    for name, digest in (plan.data.sha256 if plan.data else {}).items():
        path = Path(name)
        if not path.is_file() or sha256(path) != digest:
            raise DataError(f"{redact(name)} was changed or removed since the plan", hint="plan and submit again")


def parted(told: Mapping[str, Any]) -> tuple[Read, Read | None]:
    """The rows to learn from, and those to hold out where there are any; each can be read again.

    Args:
        told: ``dataset``, ``eval_dataset``, ``val_size``, ``seed`` and ``method``, as a native request keeps them.
    """
    method, dataset = told["method"], Dataset.model_validate(told["dataset"])
    if told["val_size"]:
        number = sum(1 for _ in rows(dataset, method))
        apart = held_out(number, told["val_size"], told["seed"])

        def side(*, held: bool) -> Iterator[Row]:
            return (row for place, row in enumerate(rows(dataset, method)) if (place in apart) is held)

        return lambda: side(held=False), lambda: side(held=True)
    if told["eval_dataset"]:
        second = Dataset.model_validate(told["eval_dataset"])
        return lambda: iter(rows(dataset, method)), lambda: iter(rows(second, method))
    return lambda: iter(rows(dataset, method)), None
