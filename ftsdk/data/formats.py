"""The formats: how each is recognised, checked and brought into canonical form, and which method takes which."""

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

from ftsdk.data.convert import from_alpaca, from_sharegpt
from ftsdk.data.messages import check_messages
from ftsdk.data.strict import BadRow

Row = dict[str, Any]


class Format(NamedTuple):
    """One shape of rows."""

    keys: frozenset[str]
    """Keys that a row must have; a row with all of them is recognised."""
    check: Callable[[Row], Row]
    """Gives the row in canonical form, or raises BadRow."""
    may_have: frozenset[str] = frozenset()
    """Further keys that are understood."""


def _string(row: Row, key: str, *, may_be_empty: bool = False) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise BadRow(f"{key} must be a string" if key in row else f"{key} is missing")
    if not value.strip() and not may_be_empty:
        raise BadRow(f"{key} is empty", "remove the row, or write the text")
    return value


def _tools(row: Row) -> Row:
    tools = row.get("tools")
    if tools is None:
        return {}
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise BadRow("tools must be a list of JSON schemas")
    return {"tools": tools} if tools else {}


def _messages(row: Row) -> Row:
    return {"messages": check_messages(row["messages"], "messages", needs_answer=True), **_tools(row)}


def _prompt(row: Row) -> Any:
    prompt = row["prompt"]
    return _string(row, "prompt", may_be_empty=True) if isinstance(prompt, str) else check_messages(prompt, "prompt")


def _answer(row: Row, key: str, prompt: Any) -> Any:
    """An answer in the same manner as its prompt: text behind text, messages behind messages."""
    value = row[key]
    if isinstance(prompt, str) and isinstance(value, str):
        return _string(row, key)
    if isinstance(prompt, str) or isinstance(value, str):
        raise BadRow(f"prompt and {key} must both be text, or both be messages")
    return check_messages(value, key, after=prompt[-1]["role"], needs_answer=True)


def _prompt_completion(row: Row) -> Row:
    prompt = _prompt(row)
    return {"prompt": prompt, "completion": _answer(row, "completion", prompt), **_tools(row)}


def _prompt_only(row: Row) -> Row:
    return {"prompt": _prompt(row) if row["prompt"] else _string(row, "prompt"), **_tools(row)}


def _preference(row: Row) -> Row:
    row = row if "prompt" in row else _shared_prompt(row)
    prompt = _prompt(row)
    answers = {key: _answer(row, key, prompt) for key in ("chosen", "rejected")}
    return {"prompt": prompt, **answers, **_tools(row)}


def _shared_prompt(row: Row) -> Row:
    """Chosen and rejected as whole conversations: what they share at the beginning is the prompt."""
    chosen, rejected = row["chosen"], row["rejected"]
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        raise BadRow("prompt is missing", "without it, chosen and rejected must be whole conversations")
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    if not shared:
        raise BadRow("chosen and rejected share no beginning, so there is no prompt", "give the prompt")
    return {**row, "prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}


def _unpaired(row: Row) -> Row:
    if not isinstance(row["label"], bool):
        raise BadRow("label must be true or false")
    if "messages" in row:
        messages = check_messages(row["messages"], "messages", needs_answer=True)
        if messages[-1]["role"] != "assistant" or len(messages) < 2:
            raise BadRow("messages must end with the answer that the label judges")
        pair: Row = {"prompt": messages[:-1], "completion": messages[-1:]}
    else:
        pair = _prompt_completion(row)
    return {**pair, "label": row["label"], **_tools(row)}


def _keys(*names: str) -> frozenset[str]:
    return frozenset(names)


FORMATS = {
    "unpaired_preference": Format(_keys("prompt", "completion", "label"), _unpaired, _keys("tools")),
    "unpaired_messages": Format(_keys("messages", "label"), _unpaired, _keys("tools")),
    "sharegpt": Format(_keys("conversations"), from_sharegpt, _keys("system", "tools", "chosen", "rejected")),
    "preference": Format(_keys("chosen", "rejected"), _preference, _keys("prompt", "tools")),
    "messages": Format(_keys("messages"), _messages, _keys("tools")),
    "prompt_completion": Format(_keys("prompt", "completion"), _prompt_completion, _keys("tools")),
    "alpaca": Format(_keys("instruction", "output"), from_alpaca, _keys("input", "system", "history")),
    "prompt": Format(_keys("prompt"), _prompt_only, _keys("tools")),
    "text": Format(_keys("text"), lambda row: {"text": _string(row, "text")}),
}
"""In the order in which they are tried: a format that needs more keys comes before one that needs fewer of them."""

_CANONICAL = {"unpaired_messages": "unpaired_preference"}

TAKES = {
    "sft": ("messages", "prompt_completion", "text"),
    "dpo": ("preference",),
    "orpo": ("preference",),
    "reward_modeling": ("preference",),
    "kto": ("unpaired_preference",),
    "ppo": ("prompt", "prompt_completion", "messages"),
    "grpo": ("prompt", "prompt_completion", "messages"),
}
"""From a method to the canonical formats that it can learn from."""


def recognise(row: Row, wanted: str) -> str:
    """The name of the format of a row: the one that was asked for, or the first whose keys are all there.

    Raises:
        BadRow: No format fits, or not the one that was asked for.
    """
    names = [wanted] if wanted != "auto" else list(FORMATS)
    if wanted == "unpaired_preference":
        names.append("unpaired_messages")
    for name in names:
        if FORMATS[name].keys <= row.keys():
            return name
    if wanted != "auto":
        missing = sorted(FORMATS[wanted].keys - row.keys())
        raise BadRow(f"the row lacks {', '.join(missing)}, which the format {wanted} needs", "see dataset.columns")
    known = {key for format_ in FORMATS.values() for key in format_.keys}
    near = [match for key in row for match in difflib.get_close_matches(key, known, n=1)]
    nearest = f"did you mean {near[0]!r}? " if near else ""
    raise BadRow("no known format has these keys", f"{nearest}name them in dataset.columns; see docs/data-formats.md")


def canonical(row: Row, name: str) -> tuple[str, Row]:
    """The canonical format and the row in it.

    Raises:
        BadRow: Something is wrong with the row.
    """
    lacking = FORMATS[name].keys - row.keys()
    if lacking:
        raise BadRow(f"{', '.join(sorted(lacking))} is missing")
    found = FORMATS[name].check(row)
    if name in ("alpaca", "sharegpt"):  # converted: the result is checked as what it has become
        name = "preference" if "chosen" in found else "messages"
        found = FORMATS[name].check(found)
    return _CANONICAL.get(name, name), found
