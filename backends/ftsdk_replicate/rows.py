"""Bring rows into the format that a trainer reads, check them, and write them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.data import Row, rows
from ftsdk.errors import DataError, Problem, RejectedError
from ftsdk.files import sha256
from ftsdk.job import Reason
from ftsdk.kit.holdout import held_out
from ftsdk.redact import redact
from ftsdk.spec import Dataset
from ftsdk_replicate.translate import LARGEST

_MOST_PROBLEMS = 20
Values = dict[str, Any]


class Local(NamedTuple):
    """A file that is ready to be uploaded."""

    path: Path
    sha256: str
    size: int
    """Bytes."""
    rows: int


def write_rows(plan: Plan, folder: Path) -> dict[str, Local]:
    """Write the files of a plan, by the names of the trainer's inputs; all, before any is sent.

    Raises:
        DataError: Rows were edited behind the plan's back, do not fit the trainer's format, or are too few.
        RejectedError: A file is too large to be uploaded, or the disk is full.
    """
    _check_unchanged(plan)
    told = plan.native["rows"]
    written = {name: _write(folder / f"{name}.jsonl", read()) for name, read in _sources(told).items()}
    count = written[told["input"]].rows
    if count <= told["withheld"]:
        raise DataError(
            f"the trainer takes {told['withheld']} rows out of the training, and there are {count}",
            hint="give more rows, or hold rows out yourself with eval_dataset",
        )
    return written


def _sources(told: Mapping[str, Any]) -> dict[str, Callable[[], Iterator[Values]]]:
    dataset = Dataset.model_validate(told["dataset"])

    def read(which: Dataset, keep: Callable[[int], bool] = lambda _: True) -> Iterator[Values]:
        found = shaped(rows(which, told["method"]), told["format"])
        return (row for place, row in enumerate(found) if keep(place))

    if told["val_size"]:
        number = sum(1 for _ in rows(dataset, told["method"]))
        apart = held_out(number, told["val_size"], told["seed"])
        return {
            told["input"]: lambda: read(dataset, lambda place: place not in apart),
            told["held_out_input"]: lambda: read(dataset, lambda place: place in apart),
        }
    if told["eval_dataset"]:
        second = Dataset.model_validate(told["eval_dataset"])
        return {told["input"]: lambda: read(dataset), told["held_out_input"]: lambda: read(second)}
    return {told["input"]: lambda: read(dataset)}


def shaped(found: Iterable[Row], format_: str | None) -> Iterator[Values]:
    """Each row in the trainer's format.

    Raises:
        DataError: At the end, or at the twentieth problem: with file and line of each row that does not fit.
    """
    problems: list[Problem] = []
    shape = _SHAPES.get(str(format_))
    if shape is None:
        raise DataError("nobody says which rows the trainer reads", hint="set backend_options.replicate.data_format")
    for row in found:
        made = shape(row.value)
        if made is None:
            what = f"it cannot become {format_} without a change of meaning"
            problems.append(Problem(f"{row.file}:{row.line}", what, _HELP.get(str(format_), "")))
        else:
            yield made
        if len(problems) >= _MOST_PROBLEMS:
            break
    if problems:
        raise DataError(f"the trainer reads {format_}, and not these rows", problems=problems)


def _text(row: Mapping[str, Any]) -> Values | None:
    return {"text": row["text"]} if "text" in row else None


def _prompt_completion(row: Mapping[str, Any]) -> Values | None:
    prompt, completion = row.get("prompt"), row.get("completion")
    plain = isinstance(prompt, str) and isinstance(completion, str) and "tools" not in row
    return {"prompt": prompt, "completion": completion} if plain else None


def _messages(row: Mapping[str, Any]) -> Values | None:
    tools = {"tools": row["tools"]} if "tools" in row else {}
    if "messages" in row:
        return {"messages": row["messages"], **tools}
    if isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
        return {"messages": [*row["prompt"], *row["completion"]], **tools}
    return None


def _preference(row: Mapping[str, Any]) -> Values | None:
    names = ("prompt", "chosen", "rejected")
    return {name: row[name] for name in names} if row.keys() >= set(names) else None


_SHAPES: Mapping[str, Callable[[Mapping[str, Any]], Values | None]] = {
    "text": _text,
    "prompt_completion": _prompt_completion,
    "messages": _messages,
    "preference": _preference,
}
_HELP = {
    "text": "write each row as {text}, rendered as the model shall see it",
    "prompt_completion": "write each row as {prompt, completion}, both texts",
    "messages": "write each row as {messages}",
}


def _check_unchanged(plan: Plan) -> None:
    for name, digest in (plan.data.sha256 if plan.data else {}).items():
        path = Path(name)
        if not path.is_file() or sha256(path) != digest:
            raise DataError(f"{redact(name)} was changed or removed since the plan", hint="plan and submit again")


def _write(path: Path, found: Iterator[Values]) -> Local:
    count = 0
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in found:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    except OSError as error:
        raise RejectedError(
            f"the rows cannot be written for the upload: {error.strerror}",
            reason=Reason.DISK_FULL.value,
            hint="make room for temporary files, or set TMPDIR to a larger disk",
        ) from error
    size = path.stat().st_size
    if size >= LARGEST:
        raise RejectedError(
            f"the rows take {size / 1e6:.0f} MB, and Replicate takes less than {LARGEST / 1e6:.0f} MB",
            reason=Reason.DATA_ERROR.value,
            hint="put them on the web yourself, and set backend_options.replicate.rows_url",
        )
    return Local(path, sha256(path), size, count)
