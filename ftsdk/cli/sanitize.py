"""Make foreign text safe to print: no secrets, and no sequences that control a terminal."""

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
    """The text as it may be printed: escape sequences, control and direction marks removed, secrets masked."""
    # Secrets come last: an escape sequence in the middle of one would hide it.
    return redact(_CONTROLS.sub("", _ESCAPES.sub("", text)))


def one_line(text: str) -> str:
    """The text on one line, so that a message cannot imitate a second line of output."""
    return " ".join(text.split())


def mask_secrets(data: Any) -> Any:
    """JSON data with every secret masked, in keys as well."""
    match data:
        case str():
            return redact(data)
        case dict():
            return {redact(key): mask_secrets(value) for key, value in data.items()}
        case list():
            return [mask_secrets(value) for value in data]
        case _:
            return data
