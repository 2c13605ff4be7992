"""Bring rows into the format that a trainer reads, check them, and write them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.data import Row
from ftsdk.data.report import check_unchanged
from ftsdk.data.split import split_rows
from ftsdk.errors import DataError, Problem, RejectedError
from ftsdk.files import sha256
from ftsdk.job_types import Reason
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
    check_unchanged(plan.data)
    told = plan.native["rows"]
    written = {
        name: _write(folder / f"{name}.jsonl", shaped(read(), told["format"]))
        for name, read in zip((told["input"], told["held_out_input"]), split_rows(told), strict=True)
        if read is not None
    }
    count = written[told["input"]].rows
    if count <= told["withheld"]:
        raise DataError(
            f"the trainer takes {told['withheld']} rows out of the training, and there are {count}",
            hint="give more rows, or hold rows out yourself with eval_dataset",
        )
    return written


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
