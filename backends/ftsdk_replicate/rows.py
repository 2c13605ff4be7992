"""Convert rows to the format that a trainer reads, check them, and write them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftsdk.backend import Plan
from ftsdk.data import Row
from ftsdk.data.report import check_unchanged
from ftsdk.data.split import split_rows
from ftsdk.errors import DataError, RejectedError
from ftsdk.job_types import Reason
from ftsdk.remote.rows import NativeRow, RowsFile, UnsupportedRow, convert_rows, write_rows
from ftsdk_replicate.translate import LARGEST

_Convert = Callable[[Mapping[str, Any]], NativeRow | None]
"""From a row to the trainer's format; None where that is impossible without a change of meaning."""


def write_files(plan: Plan, folder: Path) -> dict[str, RowsFile]:
    """Write the files of a plan, by the names of the trainer's inputs; all, before any is uploaded.

    Raises:
        DataError: Rows were edited since the plan, do not fit the trainer's format, or are too few.
        RejectedError: A file is too large to be uploaded, or the disk is full.
    """
    check_unchanged(plan.data)
    request = plan.native["rows"]
    files = {
        name: _write(folder / f"{name}.jsonl", native_rows(read(), request["format"]))
        for name, read in zip((request["input"], request["held_out_input"]), split_rows(request), strict=True)
        if read is not None
    }
    count = files[request["input"]].rows
    # Such a trainer would fail after the machine has started, or train on nothing; both are paid.
    if count <= request["withheld"]:
        raise DataError(
            f"the trainer takes {request['withheld']} rows out of the training, and there are {count}",
            hint="give more rows, or hold rows out yourself with eval_dataset",
        )
    return files


def native_rows(rows: Iterable[Row], format_: str | None) -> Iterator[NativeRow]:
    """Each row in the trainer's format.

    Raises:
        DataError: At the end, or at the twentieth problem: with file and line of each row that does not fit.
    """
    convert = _CONVERTERS.get(str(format_))
    if convert is None:
        raise DataError(
            "it is not known which rows the trainer reads", hint="set backend_options.replicate.data_format"
        )

    def convert_or_refuse(row: Mapping[str, Any]) -> NativeRow:
        fields = convert(row)
        if fields is None:
            reason = f"it cannot become {format_} without a change of meaning"
            raise UnsupportedRow(reason, _FIXES.get(str(format_), ""))
        return fields

    return convert_rows(rows, convert_or_refuse, f"the trainer reads {format_}, and not these rows")


def _text(row: Mapping[str, Any]) -> NativeRow | None:
    return {"text": row["text"]} if "text" in row else None


def _prompt_completion(row: Mapping[str, Any]) -> NativeRow | None:
    prompt, completion = row.get("prompt"), row.get("completion")
    is_plain = isinstance(prompt, str) and isinstance(completion, str) and "tools" not in row
    return {"prompt": prompt, "completion": completion} if is_plain else None


def _messages(row: Mapping[str, Any]) -> NativeRow | None:
    tools = {"tools": row["tools"]} if "tools" in row else {}
    if "messages" in row:
        return {"messages": row["messages"], **tools}
    if isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
        return {"messages": [*row["prompt"], *row["completion"]], **tools}
    return None


def _preference(row: Mapping[str, Any]) -> NativeRow | None:
    names = ("prompt", "chosen", "rejected")
    return {name: row[name] for name in names} if row.keys() >= set(names) else None


_CONVERTERS: Mapping[str, _Convert] = {
    "text": _text,
    "prompt_completion": _prompt_completion,
    "messages": _messages,
    "preference": _preference,
}
_FIXES = {
    "text": "write each row as {text}, rendered as the model shall see it",
    "prompt_completion": "write each row as {prompt, completion}, both texts",
    "messages": "write each row as {messages}",
}


def _write(path: Path, rows: Iterator[NativeRow]) -> RowsFile:
    file = write_rows(path, rows)
    if file.size >= LARGEST:
        raise RejectedError(
            f"the rows take {file.size / 1e6:.0f} MB, and Replicate takes less than {LARGEST / 1e6:.0f} MB",
            reason=Reason.DATA_ERROR.value,
            hint="put them on the web yourself, and set backend_options.replicate.rows_url",
        )
    return file
