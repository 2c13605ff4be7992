"""Check chat messages: known roles in a sane order, something said, nothing that would be dropped in silence."""

import difflib
from collections.abc import Sequence
from typing import Any

from ftsdk.data.strict import BadRow

Message = dict[str, Any]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content"})

_MAY_FOLLOW = {
    "": {"system", "developer", "user"},
    "system": {"system", "developer", "user"},
    "developer": {"system", "developer", "user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"tool", "assistant"},
}
"""From a role to those that may come next; the empty word is the beginning."""


def check_messages(value: Any, key: str, *, after: str = "", needs_answer: bool = False) -> list[Message]:
    """The messages in canonical form: content as one string, nothing unknown.

    Args:
        value: What stands in the row.
        key: Where it stands, for the error.
        after: The role before the first message, where these go on with a conversation.
        needs_answer: Whether the assistant must say something.

    Raises:
        BadRow: With the number of the message.
    """
    if not isinstance(value, list) or not value:
        raise BadRow(f"{key} must be a list of messages, and not empty")
    messages = [_message(message, f"{key}[{place}]") for place, message in enumerate(value)]
    _check_order(messages, key, after)
    if needs_answer and not any(message["role"] == "assistant" for message in messages):
        raise BadRow(f"{key} has no message of the assistant, so there is nothing to learn", "add the answer")
    return messages


def _message(message: Any, place: str) -> Message:
    if not isinstance(message, dict):
        raise BadRow(f"{place} must be an object with role and content")
    for unknown in sorted(message.keys() - KEYS):
        near = difflib.get_close_matches(unknown, KEYS, n=1)
        raise BadRow(f"{place} has a key that messages do not have", f"did you mean {near[0]!r}?" if near else _KNOWN)
    if message.get("role") not in ROLES:
        raise BadRow(f"{place}.role is unknown", f"use one of {', '.join(sorted(ROLES))}")
    calls = message.get("tool_calls")
    found = {key: part for key, part in message.items() if part is not None}
    found["content"] = _content(message.get("content"), place, has_calls=bool(calls))
    if calls is not None:
        _check_calls(message, calls, place)
    if found["role"] == "assistant" and not found["content"].strip() and not calls:
        raise BadRow(f"{place}.content is empty: the assistant says nothing", "remove the row, or write the answer")
    return found


_KNOWN = f"messages have {', '.join(sorted(KEYS))}"


def _content(content: Any, place: str, *, has_calls: bool) -> str:
    if isinstance(content, str):
        return content
    if content is None and has_calls:
        return ""
    if content is None:
        raise BadRow(f"{place}.content is null", "write the text; null goes with tool_calls only")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        texts = [part.get("text") for part in content]
        if all(isinstance(text, str) for text in texts):
            return "".join(texts)
    raise BadRow(f"{place}.content must be text", "images and other parts cannot be trained on")


def _check_calls(message: Message, calls: Any, place: str) -> None:
    if message["role"] != "assistant":
        raise BadRow(f"{place}.tool_calls belongs to the assistant only")
    names = [call.get("function", call).get("name") if isinstance(call, dict) else None for call in _list(calls)]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise BadRow(f"{place}.tool_calls must be a list of calls with function.name and function.arguments")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]


def _check_order(messages: Sequence[Message], key: str, after: str) -> None:
    for place, message in enumerate(messages):
        role = message["role"]
        if role not in _MAY_FOLLOW[after]:
            where = "at the beginning" if not after else f"behind {after}"
            raise BadRow(
                f"{key}[{place}].role {role!r} cannot stand {where}",
                f"there may stand {' or '.join(sorted(_MAY_FOLLOW[after]))}",
            )
        if role == "tool" and after == "assistant" and not messages[place - 1].get("tool_calls"):
            raise BadRow(f"{key}[{place}] is a tool's answer, but the assistant called no tool", "add tool_calls")
        after = role
