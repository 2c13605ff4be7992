"""Convert rows to Together's formats, with the loss where the spec puts it.

Together's formats: https://docs.together.ai/docs/fine-tuning-data-preparation
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ftsdk.data import Row
from ftsdk.remote.rows import NativeRow, UnsupportedRow, convert_rows


class RowSettings(NamedTuple):
    """What decides how a row is converted."""

    train_on: str
    """``assistant``, ``completion`` or ``all``, as in a spec."""
    tools: bool
    """Whether the model can call tools."""
    reasoning: bool
    """Whether the model can use reasoning."""


def native_rows(rows: Iterable[Row], settings: RowSettings) -> Iterator[NativeRow]:
    """Each row in one of Together's formats.

    Raises:
        DataError: At the end, or at the twentieth problem: with file and line of each row that Together does not take.
    """
    convert = functools.partial(_native_row, settings=settings)
    return convert_rows(rows, convert, "Together cannot learn from these rows")


def _native_row(row: Mapping[str, Any], settings: RowSettings) -> NativeRow:
    if "text" in row:
        return {"text": row["text"]}
    if "chosen" in row:
        return _preference(row, settings)
    if "messages" in row:
        messages = row["messages"]
        return {
            "messages": _weighted(messages, _first_trained(messages, settings), settings),
            **_tools(row, settings),
        }
    if isinstance(row["prompt"], str):
        if "tools" in row:
            raise UnsupportedRow("it has tools, which Together takes with messages only")
        return {"prompt": row["prompt"], "completion": row["completion"]}
    begin = len(row["prompt"])
    return {"messages": _weighted([*row["prompt"], *row["completion"]], begin, settings), **_tools(row, settings)}


def _first_trained(messages: list[NativeRow], settings: RowSettings) -> int:
    """The index of the message where the loss begins; for ``completion``, behind the user's last message."""
    if settings.train_on != "completion":
        return 0
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    return users[-1] + 1 if users else 0


def _weighted(messages: list[NativeRow], begin: int, settings: RowSettings) -> list[NativeRow]:
    """The messages, with a weight for each answer from ``begin`` on."""
    native = [_message(message, settings) for message in messages]
    if settings.train_on != "all":
        # The weights are written out even where they are the default: a reasoning model would train on the last
        # answer alone, in silence.
        for index, message in enumerate(native):
            if message["role"] == "assistant":
                message["weight"] = int(index >= begin)
        if not any(message.get("weight") for message in native):
            raise UnsupportedRow("there is no answer to learn from behind the user's last message")
    return native


def _preference(row: Mapping[str, Any], settings: RowSettings) -> NativeRow:
    prompt = row["prompt"]
    if isinstance(prompt, str):
        if not prompt.strip():
            raise UnsupportedRow("its prompt is empty")
        prompt = [{"role": "user", "content": prompt}]
    return {
        "input": {"messages": [_message(message, settings) for message in prompt], **_tools(row, settings)},
        "preferred_output": _answer(row["chosen"], "chosen", settings),
        "non_preferred_output": _answer(row["rejected"], "rejected", settings),
    }


def _answer(answer: Any, key: str, settings: RowSettings) -> list[NativeRow]:
    messages = [{"role": "assistant", "content": answer}] if isinstance(answer, str) else answer
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise UnsupportedRow(f"{key} is not exactly one message of the assistant, as Together needs it")
    return [_message(messages[0], settings)]


def _message(message: Mapping[str, Any], settings: RowSettings) -> NativeRow:
    native = dict(message)
    if native["role"] == "developer":
        raise UnsupportedRow("Together has no role developer; name it system")
    if not settings.tools and (native["role"] == "tool" or "tool_calls" in native):
        raise UnsupportedRow("it calls tools, which this model cannot at Together")
    if not settings.reasoning and "reasoning_content" in native:
        raise UnsupportedRow("it has reasoning_content, which this model cannot use at Together")
    if calls := native.get("tool_calls"):
        native["tool_calls"] = [_tool_call(call) for call in calls]
    return native


def _tool_call(call: Mapping[str, Any]) -> NativeRow:
    """A call with its arguments as JSON in a string, as services take them."""
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}}


def _tools(row: Mapping[str, Any], settings: RowSettings) -> NativeRow:
    if "tools" not in row:
        return {}
    if not settings.tools:
        raise UnsupportedRow("it has tools, which this model cannot call at Together")
    return {"tools": row["tools"]}
