"""Read rows from local files, strictly: what is not complete standard JSON is refused with file and line."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any, NamedTuple

from ftsdk.data.json_array_reader import read_array
from ftsdk.data.json_parsing import BadFile, BadRow, Report, as_object, parse_whole
from ftsdk.data.source import BOM, LONGEST_ROW, check_start, not_utf8, open_file, read
from ftsdk.errors import DataError, Problem
from ftsdk.redact import redact


class Line(NamedTuple):
    """One JSON object of a file."""

    value: dict[str, Any]
    file: str
    line: int
    """Counted from 1: where the object begins."""


def read_rows(path: Path, on_problem: Callable[[Problem], None]) -> Iterator[Line]:
    """The objects of a ``.jsonl`` or ``.json`` file, also gzipped, one at a time.

    Args:
        path: A plain file.
        on_problem: Called for each bad row; it may raise to end the reading.

    Raises:
        DataError: The file cannot be opened, or is of another kind.
    """
    name = redact(str(path))
    empty = True

    def report(line: int, error: BadRow) -> None:
        nonlocal empty
        empty = False
        on_problem(
            Problem(f"{name}:{line}:{error.column}" if error.column else f"{name}:{line}", error.cause, error.fix)
        )

    with open_file(path) as file:
        for line, value in _reader(path)(file, report):
            empty = False
            yield Line(value, name, line)
    if empty:
        report(1, BadFile("the file has no rows", "give a file with rows"))


def read_lines(file: IO[bytes], report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of JSON Lines, each with its line; blank lines are skipped.

    Args:
        file: The file's bytes, from the beginning.
        report: Called with the line and the error of each bad row.
    """
    offset, text, rows = 0, "", 0
    for line in count(1):
        try:
            raw = read(file.readline, LONGEST_ROW + 1)
            if not raw:
                return
            text = _decoded(raw, offset)
            if text and not text.isspace():
                rows += 1
                yield line, as_object(parse_whole(text))
        except BadFile as error:
            report(line, error)
            return
        except BadRow as error:
            file_error = _file_error(text, error) if rows == 1 else None
            report(line, file_error or error)
            if file_error:
                return
        offset += len(raw)


Reader = Callable[[IO[bytes], Report], Iterator[tuple[int, dict[str, Any]]]]

_READERS: dict[str, Reader] = {".jsonl": read_lines, ".ndjson": read_lines, ".json": read_array}


def _reader(path: Path) -> Reader:
    """The reader for a file, by its suffix."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    reader = _READERS.get(suffixes[-1]) if suffixes else None
    if reader is None:
        raise DataError(
            f"{redact(str(path))}: rows are read from {', '.join(_READERS)} files, also gzipped (.gz)",
            hint="convert it to JSON Lines, one object on each line, and name it .jsonl",
        )
    return reader


def _decoded(raw: bytes, offset: int) -> str:
    """A line's text; ``offset`` counts the bytes before it."""
    if len(raw) > LONGEST_ROW:
        raise BadFile(f"the line is longer than {LONGEST_ROW >> 20} MiB", "put each object on a line of its own")
    skipped = 0
    if offset == 0:
        check_start(raw)
        skipped = len(BOM) if raw.startswith(BOM) else 0
    try:
        return raw[skipped:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(offset + skipped + error.start) from error


def _file_error(text: str, error: BadRow) -> BadFile | None:
    """An error of the whole file that the error of its first line points to; None for a single bad row."""
    if text.lstrip().startswith("["):
        return BadFile("this is a JSON array, not one object on each line", "name the file .json", column=1)
    if error.column > len(text.rstrip()) and text.rstrip().endswith(("{", "[", ",")):
        fix = "put each object on one line, or all in an array in a .json file"
        return BadFile("the object spans several lines", fix, column=1)
    return None
