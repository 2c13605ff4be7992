"""Read the objects of a JSON array one by one, so that a file of any size takes little memory."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from ftsdk.data.json_parsing import BadFile, BadRow, Report, as_object, check_value, explain, parse
from ftsdk.data.source import BOM, LONGEST_ROW, check_start, not_utf8, read

_BLOCK = 1 << 20  # bytes
_BLANKS = re.compile(r"[ \t\n\r]*")
_LONGEST_LITERAL = (
    16  # characters; more than `false`: a literal that is cut at the end of a block is read again, not reported
)


class _Window:
    """A part of a file's text that moves forward, and knows its line and column in the file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.text = ""
        self.at = 0
        self.line = 1
        self.ended = False
        self._file = file
        self._offset = 0
        self._before = 0  # characters of the first line that are no longer in the window
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def move(self, to: int) -> None:
        """Go forward to a place in the window."""
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """Go to the next character that is not blank, and return it; empty at the end of the file."""
        while True:
            blanks = _BLANKS.match(self.text, self.at)
            assert blanks is not None
            self.move(blanks.end())
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]

    def more(self) -> bool:
        """Read the next block; False at the end of the file.

        A value that fills the window doubles it: the value is parsed again after each block, so that fixed blocks would
        take quadratic time.
        """
        newline = self.text.rfind("\n", 0, self.at)
        self._before = self.at - newline - 1 if newline >= 0 else self._before + self.at
        self.text, self.at = self.text[self.at :], 0
        raw = read(self._file.read, max(_BLOCK, len(self.text)))
        self.ended = not raw
        self.text += self._decoded(raw)
        return not self.ended

    def column(self, place: int) -> int:
        """The column of a place in the window."""
        newline = self.text.rfind("\n", 0, place)
        return place - newline if newline >= 0 else self._before + place + 1

    def _decoded(self, raw: bytes) -> str:
        if self._offset == 0:
            check_start(raw)
            self._offset = len(BOM) if raw.startswith(BOM) else 0
            raw = raw.removeprefix(BOM)
        # bytes of a character that the last block has cut are in the decoder
        start = self._offset - len(self._decoder.getstate()[0])
        self._offset += len(raw)
        try:
            return self._decoder.decode(raw, final=self.ended)
        except UnicodeDecodeError as error:
            self.line += self.text.count("\n") + error.object[: error.start].count(b"\n")
            raise not_utf8(start + error.start) from error


def read_array(file: IO[bytes], report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON array, each with the line where it begins.

    Args:
        file: The file's bytes, from the beginning.
        report: Called with the line and the error of each bad row.
    """
    window = _Window(file)
    try:
        _skip_start(window)
        while True:
            value, end = _next_value(window)
            try:
                check_value(value, window.text[window.at : end])
                yield window.line, as_object(value)
            except BadRow as error:
                report(window.line, error)
            window.move(end)
            if not _skip_separator(window):
                return
    except BadRow as error:
        report(window.line, error)


def _skip_start(window: _Window) -> None:
    first = window.peek()
    if first == "{":
        raise BadFile(
            "a .json file must be an array of objects, and this is an object",
            "if it has one on each line, name it .jsonl",
        )
    if first != "[":
        cause = "a .json file must be an array of objects" if first else "the file is empty"
        raise BadFile(cause, "see docs/data-formats.md")
    window.move(window.at + 1)
    if window.peek() == "]":
        raise BadFile("the array is empty", "give a file with rows")


def _next_value(window: _Window) -> tuple[Any, int]:
    """The value at the window's place, and where it ends; blocks are read until it is complete."""
    while True:
        try:
            return parse(window.text, window.at)
        except json.JSONDecodeError as error:
            incomplete = error.msg.startswith("Unterminated") or error.pos > len(window.text) - _LONGEST_LITERAL
            if incomplete and len(window.text) - window.at > LONGEST_ROW:
                raise BadFile(
                    f"the row is longer than {LONGEST_ROW >> 20} MiB", "is a quote or a bracket missing?"
                ) from error
            if incomplete and window.more():
                continue
            column = window.column(error.pos)
            window.move(error.pos)
            raise BadFile(*explain(error), column=column) from error


def _skip_separator(window: _Window) -> bool:
    """Skip the comma between two rows; False after the last row."""
    separator = window.peek()
    if not separator:
        raise _broken(window, "the array is not closed", "the file may have been cut off")
    if separator not in ",]":
        raise _broken(window, "a comma or the end of the array is missing")
    window.move(window.at + 1)
    following = window.peek()
    if separator == "," and following == "]":
        raise _broken(window, "the array ends with a comma", "remove the comma")
    if separator == "]" and following:
        raise _broken(window, "something follows the end of the array", "give each array a file of its own")
    return separator == ","


def _broken(window: _Window, cause: str, fix: str = "") -> BadFile:
    return BadFile(f"broken JSON: {cause}", fix, column=window.column(window.at))
