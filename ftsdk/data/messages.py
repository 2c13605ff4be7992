"""Check chat messages: known roles in a valid order, content, and no key that would be dropped in silence."""

from collections.abc import Sequence
from typing import Any

from ftsdk.data.fields import list_known, refuse_unknown_keys, tool_call
from ftsdk.data.json_parsing import BadRow

Message = dict[str, Any]

KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content"})

PLAIN = frozenset({"role", "content"})

_MAY_FOLLOW = {
    "": ("system", "developer", "user"),
    "system": ("user",),
    "developer": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}
"""From a role to those that may come next, as chat templates expect it; empty is the beginning."""

_ROLES = tuple(filter(None, _MAY_FOLLOW))  # not a set: a role in a broken row may be a list, which has no hash


def check_messages(value: Any, key: str, *, after: Message | None = None, needs_answer: bool = False) -> list[Message]:
    """The messages in canonical form: content as one string, calls with their arguments as objects.

    Args:
        value: What the row has.
        key: Under which key, for the error.
        after: The message before the first, where these continue a conversation.
        needs_answer: Whether there must be a message of the assistant.

    Raises:
        BadRow: With the number of the message, counted from 0.
    """
    if not isinstance(value, list) or not value:
        raise BadRow(f"{key} must be a list of messages, and not empty")
    messages = [
        message if _is_canonical(message) else _message(message, f"{key}[{place}]")
        for place, message in enumerate(value)
    ]
    _check_order(messages, key, after)
    if needs_answer and "assistant" not in [message["role"] for message in messages]:
        raise BadRow(f"{key} has no message of the assistant, so there is nothing to learn", "add the answer")
    return messages


def _is_canonical(message: Any) -> bool:
    """Whether it is an ordinary message, as most are; the full check takes most of the time of reading."""
    return (
        isinstance(message, dict)
        and message.keys() == PLAIN
        and isinstance(message["content"], str)
        and message["role"] in _ROLES
        and bool(message["content"].strip())
    )


def _message(message: Any, place: str) -> Message:
    if not isinstance(message, dict):
        raise BadRow(f"{place} must be an object with role and content")
    if not message.keys() <= KEYS:
        refuse_unknown_keys(message, KEYS, place)
    role = message.get("role")
    if role not in _ROLES:
        raise BadRow(f"{place}.role is missing or unknown", list_known(_ROLES))
    canonical = {"role": role, "content": _content(message, place)}
    if not message.keys() <= PLAIN:
        canonical |= _extras(message, place)
    if role == "assistant" and not canonical["content"].strip() and "tool_calls" not in canonical:
        raise BadRow(f"{place}.content is empty: there is no answer", "write the answer, or remove the row")
    return canonical


def _content(message: Message, place: str) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        if message.get("tool_calls"):
            return ""
        cause = "is null" if "content" in message else "is missing"
        raise BadRow(f"{place}.content {cause}", "write the text; only a message with tool_calls may have none")
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return "".join(part["text"] for part in content)
    raise BadRow(f"{place}.content must be text, or a list of text parts", "images and sound are not supported")


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.keys() == {"type", "text"} and isinstance(part["text"], str)


def _extras(message: Message, place: str) -> Message:
    """What a message has besides role and content; null counts as absent."""
    extras = {key: message[key] for key in message if key not in PLAIN and message[key] is not None}
    calls = extras.pop("tool_calls", None)
    for key, text in extras.items():
        if not isinstance(text, str):
            raise BadRow(f"{place}.{key} must be text")
    if calls:
        if message["role"] != "assistant" or not isinstance(calls, list):
            raise BadRow(f"{place}.tool_calls must be a list, and only the assistant has it")
        extras["tool_calls"] = [tool_call(call, f"{place}.tool_calls[{nth}]") for nth, call in enumerate(calls)]
    return extras


def _check_order(messages: Sequence[Message], key: str, before: Message | None) -> None:
    for place, message in enumerate(messages):
        role, last = message["role"], before["role"] if before else ""
        if role not in _MAY_FOLLOW[last]:
            raise BadRow(
                f"{key}[{place}]: {role} cannot {f'follow {last}' if last else 'begin a conversation'}",
                "join the two into one message" if role == last else f"expected is {' or '.join(_MAY_FOLLOW[last])}",
            )
        if role == "tool" and before and last == "assistant" and "tool_calls" not in before:
            raise BadRow(f"{key}[{place}] is a tool's answer, but the assistant has called no tool", "add tool_calls")
        before = message
