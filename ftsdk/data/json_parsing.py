"""JSON as the standard has it: what Python's parser lets pass beyond it is refused."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from ftsdk.spec.validation_messages import shown_key

DEEPEST = 64
"""Levels of lists and objects within each other; real rows have about ten."""

_LONGEST_NUMBER = 300  # digits; reading takes quadratic time in Python
_BLANKS = " \t\r\n"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BadRow(ValueError):
    """What is wrong with one row, without any of its content.

    Args:
        what: The cause.
        fix: The next step.
        column: Where in the line, counted from 1; 0 where the whole row is meant.
    """

    def __init__(self, what: str, fix: str = "", *, column: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.column = column


class BadFile(BadRow):
    """A flaw behind which nothing in the file makes sense."""


Report = Callable[[int, BadRow], None]
"""Takes the line and the flaw of a bad row."""


def parse(text: str, at: int = 0) -> tuple[Any, int]:
    """The JSON value that begins at a place, and the place behind it.

    Raises:
        json.JSONDecodeError: It is broken, or cut off.
        BadRow: Python could read it, but it is no standard JSON, or not reasonable.
    """
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError as error:
        raise _too_deep() from error


def parse_whole(text: str) -> Any:
    """The one JSON value that a text is.

    Raises:
        BadRow: With the column, where it is no JSON.
    """
    row = text.strip(_BLANKS)
    try:
        value, end = parse(row)
    except json.JSONDecodeError as error:
        raise _broken(text, error) from error
    if end < len(row):
        raise _broken(text, json.JSONDecodeError("Extra data", row, end))
    check_value(value, row)
    return value


def _broken(text: str, error: json.JSONDecodeError) -> BadRow:
    """The error with its column in the whole text, of which the blanks around were taken off."""
    indent = len(text) - len(text.lstrip(_BLANKS))
    return BadRow(*explain(error), column=indent + error.pos + 1)


def check_value(value: Any, text: str) -> None:
    """Refuse what is nested too deeply, or what UTF-8 cannot express; ``text`` is what the value was read from."""
    if text.count("[") + text.count("{") > DEEPEST and _deeper(value, DEEPEST):
        raise _too_deep()
    if _SURROGATE.search(text):
        _refuse_half_pairs(value)


def as_object(value: Any) -> dict[str, Any]:
    """The value, if it is an object."""
    if not isinstance(value, dict):
        raise BadRow(f"a row must be an object, and this is {_KINDS[type(value)]}", "see docs/data-formats.md")
    return value


def explain(error: json.JSONDecodeError) -> tuple[str, str]:
    """What is wrong, and the next step."""
    if error.pos >= len(error.doc.rstrip()):
        return "broken JSON: it ends in the middle of a row", "it may have been cut off"
    for begin, what, fix in _MISTAKES:
        if error.msg.startswith(begin):
            return f"broken JSON: {what}", fix
    return f"broken JSON: {error.msg}", ""


_MISTAKES = (
    ("Unterminated", "a string is not closed", "it may have been cut off; a line break inside a string is written \\n"),
    ("Extra data", "something follows the end of the object", "put each object on a line of its own"),
    ("Expecting prop", "a key in double quotes is missing", "no single quotes, no comments, no comma before a brace"),
    ("Illegal trailing", "there is a comma before a closing bracket or brace", "take it out"),
    ("Expecting value", "a value is missing", "JSON has null, true, false, numbers, and strings in double quotes"),
    ("Expecting ','", "a comma or a closing bracket is missing", 'a double quote inside a string is written \\"'),
    ("Expecting ':'", "a colon is missing behind a key", ""),
    ("Invalid control", "a control character inside a string", "write a line break as \\n and a tab as \\t"),
    ("Invalid \\", "a backslash begins no escape that JSON knows", "a backslash itself is written \\\\"),
)
"""From how Python's message begins to ours, and the next step."""

_KINDS = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    return levels == 0 or any(
        _deeper(part, levels - 1) for part in (value if isinstance(value, list) else value.values())
    )


def _too_deep() -> BadRow:
    return BadRow(f"objects and lists are nested more than {DEEPEST} deep", "flatten the row")


def _refuse_half_pairs(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        fix = "emoji need both halves; write such characters as they are"
        raise BadRow("half of a surrogate pair (\\ud800 to \\udfff) is no character", fix) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise BadRow(f"the key {shown_key(twice)} stands twice in one object", "keep one of them")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadRow(f"{name} is no JSON", "write null, or leave the key out")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadRow("a number is too large", "write it as a string")
    return number


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise BadRow(f"a number has more than {_LONGEST_NUMBER} digits", "write it as a string")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_duplicates, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
)
