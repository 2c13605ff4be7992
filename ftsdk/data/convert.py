"""Convert the rows of other tools, Alpaca and ShareGPT, to ours."""

import json
from typing import Any

from ftsdk.data.strict import BadRow

Row = dict[str, Any]

SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "system": "system",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}


def from_alpaca(row: Row) -> Row:
    """``instruction``, ``input``, ``output`` (and ``system``, ``history``) to messages."""
    asked = [part for part in (_text(row, "instruction"), _text(row, "input", "")) if part]
    system = _text(row, "system", "")
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in history):
        raise BadRow("history must be a list of pairs: what was asked, what was answered")
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in history:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": "\n\n".join(asked)})
    return {"messages": [*messages, {"role": "assistant", "content": _text(row, "output")}]}


def from_sharegpt(row: Row) -> Row:
    """``conversations`` of ``from`` and ``value`` to messages, or with ``chosen`` and ``rejected`` to a preference."""
    turns = row.get("conversations")
    if not isinstance(turns, list):
        raise BadRow("conversations must be a list of turns")
    messages = [_turn(turn, f"conversations[{place}]") for place, turn in enumerate(turns)]
    if system := _text(row, "system", ""):
        messages = [{"role": "system", "content": system}, *messages]
    tools = _tools(row.get("tools"))
    extra = {"tools": tools} if tools else {}
    if "chosen" in row:
        return {
            "prompt": messages,
            "chosen": [_turn(row["chosen"], "chosen")],
            "rejected": [_turn(row.get("rejected"), "rejected")],
            **extra,
        }
    return {"messages": messages, **extra}


def _turn(turn: Any, place: str) -> Row:
    if not isinstance(turn, dict) or not {"from", "value"} <= turn.keys():
        raise BadRow(f"{place} must be an object with from and value")
    role = SHAREGPT_ROLES.get(turn["from"]) if isinstance(turn["from"], str) else None
    if role is None:
        raise BadRow(f"{place}.from is unknown", f"use one of {', '.join(SHAREGPT_ROLES)}")
    if turn["from"] == "function_call":
        return {"role": role, "content": "", "tool_calls": _calls(turn["value"], place)}
    return {"role": role, "content": turn["value"]}


def _calls(text: Any, place: str) -> list[Row]:
    """``{"name": ..., "arguments": ...}`` as text, or a list of them, to tool calls."""
    value = _json(text, f"{place}.value")
    calls = value if isinstance(value, list) else [value]
    if not all(isinstance(call, dict) and "name" in call for call in calls):
        raise BadRow(f"{place}.value must be a call with name and arguments, in JSON")
    return [
        {"type": "function", "function": {"name": call["name"], "arguments": _arguments(call.get("arguments", {}))}}
        for call in calls
    ]


def _arguments(value: Any) -> Any:
    """Arguments as an object, also where they came as JSON within JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _tools(value: Any) -> list[Any]:
    """Tools as JSON schemas, also where they came as one text."""
    tools = _json(value, "tools") if isinstance(value, str) and value.strip() else value or []
    return tools if isinstance(tools, list) else [tools]


def _json(text: Any, place: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRow(f"{place} must be JSON in a string") from error


def _text(row: Row, key: str, missing: str | None = None) -> str:
    value = row.get(key, missing)
    if value is None and missing is not None:
        return missing
    if not isinstance(value, str):
        raise BadRow(f"{key} must be a string" if key in row else f"{key} is missing")
    return value
