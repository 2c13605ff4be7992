"""Standard JSON (RFC 8259): what Python's parser accepts beyond it is refused.

That is NaN and Infinity, a key twice in one object (the last one would win), lone surrogates (no file can hold them),
numbers beyond a float's range (they would become infinite), and nesting as deep as the recursion limit.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from ftsdk.spec.validation_messages import shown_key

MOST_LEVELS = 64
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

    def __init__(self, cause: str, fix: str = "", *, column: int = 0) -> None:
        super().__init__(cause)
        self.cause = cause
        self.fix = fix
        self.column = column


class BadFile(BadRow):
    """An error after which nothing in the file can be read."""


Report = Callable[[int, BadRow], None]
"""Called with the line and the error of a bad row."""


def parse(text: str, at: int = 0) -> tuple[Any, int]:
    """The JSON value that begins at a place, and the place after it.

    Raises:
        json.JSONDecodeError: It is broken, or cut off.
        BadRow: Python could read it, but it is not standard JSON, or beyond our bounds.
    """
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError as error:
        raise _nesting_error() from error


def parse_whole(text: str) -> Any:
    """The one JSON value that a text is.

    Raises:
        BadRow: With the column, where it is not JSON.
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
    """The error with its column in the text with its blanks, which were stripped before."""
    indent = len(text) - len(text.lstrip(_BLANKS))
    return BadRow(*explain(error), column=indent + error.pos + 1)


def check_value(value: Any, text: str) -> None:
    """Refuse what is nested too deeply, or what UTF-8 cannot express; ``text`` is the source of the value."""
    if text.count("[") + text.count("{") > MOST_LEVELS and _nested_deeper(value, MOST_LEVELS):
        raise _nesting_error()
    if _SURROGATE.search(text):
        _refuse_lone_surrogates(value)


def as_object(value: Any) -> dict[str, Any]:
    """The value, if it is an object."""
    if not isinstance(value, dict):
        raise BadRow(f"a row must be an object, and this is {_TYPE_NAMES[type(value)]}", "see docs/data-formats.md")
    return value


def explain(error: json.JSONDecodeError) -> tuple[str, str]:
    """What is wrong, and the next step."""
    if error.pos >= len(error.doc.rstrip()):
        return "broken JSON: it ends in the middle of a row", "it may have been cut off"
    for begin, cause, fix in _SYNTAX_ERRORS:
        if error.msg.startswith(begin):
            return f"broken JSON: {cause}", fix
    return f"broken JSON: {error.msg}", ""


_SYNTAX_ERRORS = (
    ("Unterminated", "a string is not closed", "it may have been cut off; a line break inside a string is written \\n"),
    ("Extra data", "something follows the end of the object", "put each object on a line of its own"),
    ("Expecting prop", "a key in double quotes is missing", "no single quotes, no comments, no comma before a brace"),
    ("Illegal trailing", "there is a comma before a closing bracket or brace", "remove it"),
    ("Expecting value", "a value is missing", "JSON has null, true, false, numbers, and strings in double quotes"),
    ("Expecting ','", "a comma or a closing bracket is missing", 'a double quote inside a string is written \\"'),
    ("Expecting ':'", "a colon is missing after a key", ""),
    ("Invalid control", "a control character inside a string", "write a line break as \\n and a tab as \\t"),
    ("Invalid \\", "this escape is not one of JSON", "a backslash itself is written \\\\"),
)
"""From how Python's message begins to ours, and the next step."""

_TYPE_NAMES = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _nested_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    return levels == 0 or any(
        _nested_deeper(part, levels - 1) for part in (value if isinstance(value, list) else value.values())
    )


def _nesting_error() -> BadRow:
    return BadRow(f"objects and lists are nested more than {MOST_LEVELS} deep", "flatten the row")


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        fix = "emoji need both halves; write such characters as they are"
        raise BadRow("half of a surrogate pair (\\ud800 to \\udfff) is not a character", fix) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        key = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise BadRow(f"the key {shown_key(key)} is twice in one object", "keep one of them")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise BadRow(f"{name} is not JSON", "write null, or leave the key out")


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadRow("a number is too large", "write it as a string")
    return number


def _bounded_integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise BadRow(f"a number has more than {_LONGEST_NUMBER} digits", "write it as a string")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_duplicates,
    parse_constant=_refuse_constant,
    parse_float=_finite_number,
    parse_int=_bounded_integer,
)
