"""Make foreign text safe to show: no secrets, and nothing that a terminal would obey."""

import re
from typing import Any

from ftsdk.redact import redact

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colors, cursor moves, erasing
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, clipboard
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # not tab, not newline


def clean(text: str) -> str:
    """The text as it may be printed: escape sequences, control and direction marks gone, secrets masked."""
    return redact(_CONTROLS.sub("", _ESCAPES.sub("", text)))


def one_line(text: str) -> str:
    """The text on one line, so that no message can pass itself off as two."""
    return " ".join(text.split())


def plain(data: Any) -> Any:
    """JSON data with every secret masked, in keys as well."""
    match data:
        case str():
            return redact(data)
        case dict():
            return {redact(key): plain(value) for key, value in data.items()}
        case list():
            return [plain(value) for value in data]
        case _:
            return data
