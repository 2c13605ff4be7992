"""Read rows from local files, strictly: whatever is not plain, complete JSON is refused with file and line."""

import gzip
import json
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from ftsdk.data.strict import DECODER, BadJson, BadRow, as_object, parse_line
from ftsdk.errors import DataError, Problem

LONGEST_LINE = 64 * 2**20
"""Bytes of one line; a longer one is an accident, and is not read whole."""

_BLOCK = 1 << 20
_GUESSES = (
    (b"\xff\xfe", "UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16", "save it as UTF-8"),
    (b"\x1f\x8b", "gzip", "name it .jsonl.gz"),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"PAR1", "Parquet", "convert it to JSON Lines"),
)


class Line(NamedTuple):
    """One JSON object of a file."""

    value: dict[str, Any]
    file: str
    line: int
    """Counted from 1: where the object begins."""


def read_rows(path: Path, on_bad: Callable[[Problem], None]) -> Iterator[Line]:
    """The objects of a ``.jsonl`` or ``.json`` file, also gzipped, one at a time.

    Args:
        path: A plain file.
        on_bad: Told of each bad line of a ``.jsonl`` file, which may raise to end the reading.

    Raises:
        DataError: The file cannot be read at all, or is broken so that nothing behind the place makes sense.
    """
    kind = _kind(path)
    with _opened(path) as file:
        yield from (_from_lines if kind == ".jsonl" else _from_array)(file, path, on_bad)


def _kind(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = {".ndjson": ".jsonl"}.get(suffix := suffixes[-1].lower() if suffixes else "", suffix)
    if kind not in (".jsonl", ".json"):
        raise DataError(
            f"{path}: rows are read from .jsonl and .json files, also with .gz behind",
            hint="convert the file to JSON Lines: one JSON object on each line",
        )
    return kind


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no plain file"
            raise DataError(f"{path} is {what}", hint="give the file that holds the rows")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (OSError, EOFError) as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"there is no file {path.absolute()}", hint="check dataset.path") from error
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _from_lines(file: IO[bytes], path: Path, on_bad: Callable[[Problem], None]) -> Iterator[Line]:
    offset, number = 0, 0
    while raw := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            problem = Problem(f"{path}:{number}", f"the line is longer than {LONGEST_LINE // 2**20} MiB")
            raise DataError("the dataset cannot be read", problems=[problem], hint="put one object on each line")
        try:
            text = _text(raw, offset)
            if text.strip():
                yield Line(parse_line(text, first=number == 1), str(path), number)
        except BadRow as bad:
            on_bad(Problem(f"{path}:{number}{_column(bad)}", bad.what, bad.fix))
        offset += len(raw)


def _column(bad: BadRow) -> str:
    return f":{bad.column}" if isinstance(bad, BadJson) else ""


def _text(raw: bytes, offset: int) -> str:
    if offset == 0:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
        for magic, guess, fix in _GUESSES:
            if raw.startswith(magic):
                raise BadRow(f"the file is no UTF-8 text, it looks like {guess}", fix)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRow(f"byte {offset + error.start} is no UTF-8, perhaps Latin-1", "save the file as UTF-8") from error


class _Text:
    """A window on a file's text that moves on as it is used up, and knows its line."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.text, self.line, self.offset = file, "", 1, 0
        self._rest = b""

    def more(self) -> bool:
        """Read another block; False at the end of the file."""
        raw = self.file.read(_BLOCK)
        pending = self._rest + raw
        whole = len(pending) if not raw else pending.rfind(b"\n") + 1 or _utf8_end(pending)
        self.text += _text(pending[:whole], self.offset)
        self.offset += whole
        self._rest = pending[whole:]
        return bool(raw)

    def skip(self, count: int) -> None:
        """Go forward by so many characters."""
        self.line += self.text.count("\n", 0, count)
        self.text = self.text[count:]

    def next(self) -> str:
        """The next character that is no blank, or nothing at the end; it is not skipped."""
        while True:
            self.skip(len(self.text) - len(self.text.lstrip()))
            if self.text or not self.more():
                return self.text[:1]


def _utf8_end(raw: bytes) -> int:
    """The last place at which bytes may be cut without cutting a character."""
    end = len(raw)
    while end and end > len(raw) - 4 and raw[end - 1] & 0xC0 == 0x80:
        end -= 1
    return max(end - 1, 0) if end and raw[end - 1] >= 0xC0 else len(raw)


def _from_array(file: IO[bytes], path: Path, _: Callable[[Problem], None]) -> Iterator[Line]:
    text = _Text(file)
    try:
        for value, line in _elements(text):
            yield Line(value, str(path), line)
    except BadRow as bad:
        raise DataError(
            "the dataset cannot be read", problems=[Problem(f"{path}:{text.line}", bad.what, bad.fix)]
        ) from bad


def _elements(text: _Text) -> Iterator[tuple[dict[str, Any], int]]:
    """The objects of a list, and the line where each begins."""
    if text.next() != "[":
        fix = "name the file .jsonl" if text.text[:1] == "{" else "see docs/data-formats.md"
        raise BadRow("a .json file must hold a list of objects", fix)
    text.skip(1)
    while text.next() not in ("]", ""):
        line = text.line
        value, used = _next_value(text)
        yield as_object(value, text.text[:used]), line
        text.skip(used)
        if text.next() == ",":
            text.skip(1)
        elif text.next() != "]":
            raise BadRow("expected a comma or the end of the list")
    if not text.text:
        raise BadRow("the file ends in the middle of the list", "it may have been cut off")
    text.skip(1)
    if text.next():
        raise BadRow("something stands behind the end of the list")


def _next_value(text: _Text) -> tuple[Any, int]:
    """The next value of a list, and how many characters it takes; more of the file is read while it is not whole."""
    while True:
        try:
            value, used = DECODER.raw_decode(text.text)
            if used < len(text.text) or not text.more():
                return value, used
        except json.JSONDecodeError as error:
            if len(text.text) > LONGEST_LINE or not text.more():
                text.skip(error.pos)
                raise BadRow(f"broken JSON: {error.msg}") from error
