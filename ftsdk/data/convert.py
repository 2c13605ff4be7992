"""Convert the rows of other tools, Alpaca and ShareGPT, to canonical form."""

from typing import Any

from ftsdk.data.fields import Values, from_json, list_known, optional_text, required_text, tool_call, tools
from ftsdk.data.json_parsing import BadRow
from ftsdk.data.messages import Message, check_messages

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "system": "system",
}
"""From ShareGPT's names of speakers to roles."""


def from_alpaca(row: Values) -> Values:
    """``instruction``, ``input``, ``output`` (and ``system``, ``history``) to messages.

    The input follows the instruction after a blank line.
    """
    system = optional_text(row, "system")
    instructions = [text for key in ("instruction", "input") if (text := optional_text(row, key)).strip()]
    if not instructions:
        raise BadRow("instruction and input are both empty", "write the instruction, or remove the row")
    turns = [*_history(row), "\n\n".join(instructions), required_text(row, "output")]
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": ("user", "assistant")[nth % 2], "content": turn} for nth, turn in enumerate(turns)]
    return {"messages": messages}


def _history(row: Values) -> list[str]:
    """Earlier turns, the user's and the assistant's alternately."""
    pairs = row.get("history") or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise BadRow("history must be a list of pairs of an instruction and its answer")
    turns = [turn for pair in pairs for turn in pair]
    if not all(isinstance(turn, str) and turn.strip() for turn in turns):
        raise BadRow("history must contain texts that are not empty")
    return turns


def from_sharegpt(row: Values) -> Values:
    """``conversations`` of ``from`` and ``value`` to messages."""
    return {"messages": _conversation(row, needs_answer=True), **tools(row)}


def preference_from_sharegpt(row: Values) -> Values:
    """``conversations`` to a prompt, and the turns ``chosen`` and ``rejected`` to its answers."""
    prompt = _conversation(row, needs_answer=False)
    return {
        "prompt": prompt,
        **{key: _answer(row[key], key, prompt[-1]) for key in ("chosen", "rejected")},
        **tools(row),
    }


def _conversation(row: Values, *, needs_answer: bool) -> list[Message]:
    system = optional_text(row, "system")
    head = [{"role": "system", "content": system}] if system else []
    turns = _turns(row["conversations"], "conversations")
    return head + check_messages(turns, "conversations", after=head[0] if head else None, needs_answer=needs_answer)


def _answer(raw: Any, key: str, last: Message) -> list[Message]:
    turns = _turns(raw if isinstance(raw, list) else [raw], key)
    return check_messages(turns, key, after=last, needs_answer=True)


def _turns(turns: Any, key: str) -> list[Message]:
    if not isinstance(turns, list):
        raise BadRow(f"{key} must be a list of turns")
    return [_turn(turn, f"{key}[{place}]") for place, turn in enumerate(turns)]


def _turn(turn: Any, place: str) -> Message:
    if not isinstance(turn, dict) or turn.keys() != {"from", "value"}:
        fix = "name the key messages" if isinstance(turn, dict) and "role" in turn else ""
        raise BadRow(f"{place} must be an object with from and value, and nothing else", fix)
    role = _ROLES.get(turn["from"]) if isinstance(turn["from"], str) else None
    if role is None:
        raise BadRow(f"{place}.from is unknown", list_known(_ROLES))
    if turn["from"] == "function_call":
        called = from_json(turn["value"], f"{place}.value")
        calls = called if isinstance(called, list) and called else [called]
        return {"role": role, "tool_calls": [tool_call(call, f"{place}.value") for call in calls]}
    return {"role": role, "content": turn["value"]}
