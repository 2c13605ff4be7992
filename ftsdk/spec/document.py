"""Read a mapping from a YAML, TOML or JSON file: bounded, no key twice, and errors with their line."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ftsdk.errors import InputError
from ftsdk.spec.validation_messages import Mistake, shown_key, shown_path, unquoted
from ftsdk.spec.yaml12 import read_yaml

MOST_BYTES = 2**20


class Document(NamedTuple):
    """The content of a file, and where each key is."""

    data: dict[str, Any]
    lines: dict[str, int]
    """From each dotted key to its line, from 1; known for YAML only."""


def read_document(path: Path, error: type[InputError]) -> Document:
    """Read a file by its suffix.

    Raises:
        InputError: Of the kind ``error``: no such file, another suffix, not UTF-8, too long, empty, or broken.
    """
    name = shown_path(path)
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise error(
            f"{name}: this suffix is not that of a supported format",
            hint=f"name the file {', '.join(sorted(_PARSERS))}",
        )
    try:
        return parse(_text(path))
    except Mistake as mistake:
        message = str(mistake)
    raise error(f"{name} {message}")  # outside of the handler, so that no context keeps the text


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Mistake(f"cannot be read: {getattr(error, 'strerror', None) or 'this is not a path'}") from None
    if len(raw) > MOST_BYTES:
        raise Mistake(f"is longer than {MOST_BYTES // 2**20} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + raw[: error.start].count(b"\n")
        raise Mistake(f"is not UTF-8 text, see line {line}") from None
    if not text.strip():
        raise Mistake("is empty")
    return text


def _yaml(text: str) -> Document:
    lines: dict[str, int] = {}
    return Document(_mapping(read_yaml(text, lines)), lines)


def _toml(text: str) -> Document:
    try:
        return Document(tomllib.loads(text), {})
    except ValueError as error:  # also for a whole number of thousands of digits
        message = str(error)
    except RecursionError:
        message = "nested too deep"
    place = re.search(r" \(at (line \d+, column \d+|end of document)\)$", message)
    cause = message[: place.start()] if place else message
    raise Mistake(f"is not valid TOML{f', {place[1]}' if place else ''}: {unquoted(cause)}")


def _json(text: str) -> Document:
    try:
        return Document(_mapping(json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)), {})
    except Mistake:
        raise
    except json.JSONDecodeError as error:
        message = f"is not valid JSON, line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        message = "is not valid JSON: a number is too long, or it is nested too deep"
    raise Mistake(message)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for key, value in pairs:
        if key in section:
            raise Mistake(f"has {shown_key(key)} twice in one section")
        section[key] = value
    return section


def _refuse_constant(constant: str) -> NoReturn:
    # Python's reader accepts NaN and Infinity, which are no JSON
    raise Mistake(f"is not valid JSON: {constant} is no number")


def _mapping(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Mistake("has no keys and values")
    return data


_PARSERS: dict[str, Callable[[str], Document]] = {".json": _json, ".toml": _toml, ".yaml": _yaml, ".yml": _yaml}
