"""JSON as the standard has it: what Python's parser lets pass beyond it is refused."""

import json
import math
from typing import Any, NoReturn


class BadRow(ValueError):
    """What is wrong with one row, without any of its content.

    Args:
        what: The cause.
        fix: The next step.
    """

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class BadJson(BadRow):
    """A row that is no JSON, and the column where it breaks."""

    def __init__(self, what: str, column: int, fix: str = "") -> None:
        super().__init__(what, fix)
        self.column = column


def parse_line(text: str, *, first: bool) -> dict[str, Any]:
    """One line as an object; ``first`` says whether it is the file's first, for better advice."""
    try:
        value = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadJson(f"broken JSON: {error.msg}", error.colno, _advice(text, first=first)) from error
    return as_object(value, text)


def as_object(value: Any, text: str) -> dict[str, Any]:
    """The value, if it is an object that can be written as UTF-8; ``text`` is what it was read from."""
    if not isinstance(value, dict):
        looks = "a JSON array of rows: name the file .json" if isinstance(value, list) else "put an object on each line"
        raise BadRow(f"a row must be an object, and this is {_JSON_NAMES[type(value)]}", looks)
    if "\\u" in text:
        _refuse_surrogates(value)
    return value


_JSON_NAMES = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _advice(text: str, *, first: bool) -> str:
    if first and text.strip() in ("[", "{"):
        return (
            "this looks like an array or an object over several lines: name the file .json, or put a row on each line"
        )
    return "single quotes are no JSON" if text.lstrip().startswith("{'") else ""


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRow(
            "half of a surrogate pair (\\ud800 to \\udfff) is no character", "remove or complete it"
        ) from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRow("a key stands twice in one object", "keep one of them")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadRow(f"{name} is no JSON number", "use null, or a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadRow("a number is too large", "write it as a string")
    return number


def _whole(text: str) -> int:
    if len(text) > 300:
        raise BadRow("a number is too long", "write it as a string")
    return int(text)


class _Decoder(json.JSONDecoder):
    """JSON as the standard has it; what Python adds to it is refused."""

    def decode(self, text: str, *_: Any) -> Any:
        try:
            return super().decode(text)
        except RecursionError as error:
            raise BadRow("objects or lists are nested too deeply", "flatten the row") from error

    def raw_decode(self, text: str, idx: int = 0) -> tuple[Any, int]:
        try:
            return super().raw_decode(text, idx)
        except RecursionError as error:
            raise BadRow("objects or lists are nested too deeply", "flatten the row") from error


DECODER = _Decoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
