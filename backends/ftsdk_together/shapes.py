"""Bring rows into the shapes that Together learns from, with the loss where the spec puts it.

Together's formats: https://docs.together.ai/docs/fine-tuning-data-preparation
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ftsdk.data import Row
from ftsdk.errors import DataError, Problem

_MOST_PROBLEMS = 20

Values = dict[str, Any]


class Manner(NamedTuple):
    """How rows are brought into shape."""

    train_on: str
    """``assistant``, ``completion`` or ``all``, as in a spec."""
    tools: bool
    """Whether the model can call tools."""
    reasoning: bool
    """Whether the model can reason aloud."""


class _Unfit(ValueError):
    """Together cannot learn from a row; the message says why, and quotes nothing of it."""


def native_rows(rows: Iterable[Row], manner: Manner) -> Iterator[Values]:
    """Each row as Together takes it.

    Raises:
        DataError: At the end, or at the twentieth problem: with file and line of each row that Together cannot take.
    """
    problems: list[Problem] = []
    for row in rows:
        try:
            yield _native(row.value, manner)
        except _Unfit as unfit:
            problems.append(Problem(f"{row.file}:{row.line}", str(unfit)))
        if len(problems) >= _MOST_PROBLEMS:
            break
    if problems:
        raise DataError("Together cannot learn from these rows", problems=problems)


def _native(row: Mapping[str, Any], manner: Manner) -> Values:
    if "text" in row:
        return {"text": row["text"]}
    if "chosen" in row:
        return _preference(row, manner)
    if "messages" in row:
        messages = row["messages"]
        return {"messages": _weighted(messages, _trained(messages, manner), manner), **_tools(row, manner)}
    if isinstance(row["prompt"], str):
        if "tools" in row:
            raise _Unfit("it has tools, which Together takes with messages only")
        return {"prompt": row["prompt"], "completion": row["completion"]}
    begin = len(row["prompt"])
    return {"messages": _weighted([*row["prompt"], *row["completion"]], begin, manner), **_tools(row, manner)}


def _trained(messages: list[Values], manner: Manner) -> int:
    """The place of the message where the loss begins; of a whole conversation, behind the user's last word."""
    if manner.train_on != "completion":
        return 0
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return users[-1] + 1 if users else 0


def _weighted(messages: list[Values], begin: int, manner: Manner) -> list[Values]:
    """The messages, with a weight for each answer: reasoning models would learn from the last one alone."""
    native = [_message(message, manner) for message in messages]
    if manner.train_on != "all":
        for place, message in enumerate(native):
            if message["role"] == "assistant":
                message["weight"] = int(place >= begin)
        if not any(message.get("weight") for message in native):
            raise _Unfit("there is no answer to learn from behind the user's last word")
    return native


def _preference(row: Mapping[str, Any], manner: Manner) -> Values:
    prompt = row["prompt"]
    if isinstance(prompt, str):
        if not prompt.strip():
            raise _Unfit("its prompt is empty")
        prompt = [{"role": "user", "content": prompt}]
    asked = {"messages": [_message(message, manner) for message in prompt], **_tools(row, manner)}
    return {
        "input": asked,
        "preferred_output": _answer(row["chosen"], "chosen", manner),
        "non_preferred_output": _answer(row["rejected"], "rejected", manner),
    }


def _answer(answer: Any, key: str, manner: Manner) -> list[Values]:
    messages = [{"role": "assistant", "content": answer}] if isinstance(answer, str) else answer
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise _Unfit(f"{key} is not exactly one message of the assistant, as Together needs it")
    return [_message(messages[0], manner)]


def _message(message: Mapping[str, Any], manner: Manner) -> Values:
    native = dict(message)
    if native["role"] == "developer":
        raise _Unfit("Together knows no role developer; name it system")
    if not manner.tools and (native["role"] == "tool" or "tool_calls" in native):
        raise _Unfit("it calls tools, which this model cannot at Together")
    if not manner.reasoning and "reasoning_content" in native:
        raise _Unfit("it has reasoning_content, which this model cannot use at Together")
    if calls := native.get("tool_calls"):
        native["tool_calls"] = [_call(call) for call in calls]
    return native


def _call(call: Mapping[str, Any]) -> Values:
    """A call with its arguments as JSON in a string, the way services take them."""
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}}


def _tools(row: Mapping[str, Any], manner: Manner) -> Values:
    if "tools" not in row:
        return {}
    if not manner.tools:
        raise _Unfit("it has tools, which this model cannot call at Together")
    return {"tools": row["tools"]}
