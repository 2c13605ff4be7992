"""Read single fields of a row, or report what is wrong with them."""

from collections.abc import Iterable
from typing import Any

from ftsdk.data.json_parsing import BadRow, parse_whole
from ftsdk.errors import nearest
from ftsdk.spec.validation_messages import shown_key

Values = dict[str, Any]
"""A row, or an object within a row."""


def required_text(row: Values, key: str) -> str:
    """A text that must be there and not blank."""
    text = row.get(key)
    if not isinstance(text, str):
        raise BadRow(f"{key} must be text" if text is not None else f"{key} is missing")
    if not text.strip():
        raise BadRow(f"{key} is empty", "write the text, or remove the row")
    return text


def optional_text(row: Values, key: str) -> str:
    """A text that may be empty, null or absent: each is read as empty."""
    text = row.get(key)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise BadRow(f"{key} must be text")
    return text


def from_json(text: Any, place: str) -> Any:
    """The value in a string of JSON, read as strictly as the row itself."""
    if not isinstance(text, str):
        raise BadRow(f"{place} must be JSON in a string")
    try:
        return parse_whole(text)
    except BadRow as bad:
        raise BadRow(f"{place} must be JSON in a string; {bad.cause}", bad.fix) from bad


def tool_call(call: Any, place: str) -> Values:
    """One call of a tool: ``{"type": "function", "function": {"name": ..., "arguments": {...}}}``.

    The function may be given without its wrapper, and its arguments as JSON in a string.
    """
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise BadRow(f"{place} must be a call: an object with the tool's name and arguments")
    arguments = function.get("arguments")
    if isinstance(arguments, str) and arguments.strip():
        arguments = from_json(arguments, f"{place}.arguments")
    if not isinstance(arguments or {}, dict):
        raise BadRow(f"{place}.arguments must be an object, from names to values")
    identity = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return {**identity, "type": "function", "function": {"name": function["name"], "arguments": arguments or {}}}


def tools(row: Values) -> Values:
    """``{"tools": [...]}`` with tools as chat templates expect them; nothing where the row has none.

    They may be JSON in a string, and a tool's function may come without its wrapper.
    """
    raw = row.get("tools") or []
    if isinstance(raw, str):
        raw = from_json(raw, "tools") if raw.strip() else []
    if not isinstance(raw, list):
        raise BadRow("tools must be a list of JSON schemas")
    return {"tools": [_tool(tool, f"tools[{place}]") for place, tool in enumerate(raw)]} if raw else {}


def _tool(tool: Any, place: str) -> Values:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRow(f"{place} must be a JSON schema with the function's name")
    return {"type": "function", "function": function}


def refuse_unknown_keys(row: Values, names: frozenset[str], place: str) -> None:
    """Refuse keys that would otherwise be dropped in silence."""
    for key in row:
        if key not in names:
            raise BadRow(
                f"{place} has the key {shown_key(key)}, which is not known", nearest(key, names) or list_known(names)
            )


def list_known(names: Iterable[str]) -> str:
    """The known names, as the next step of an error."""
    return f"known are {', '.join(sorted(names))}"
