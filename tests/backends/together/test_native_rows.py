"""Rows in Together's formats: the loss where the spec puts it, and nothing that Together would refuse or mistake."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.data import Row
from ftsdk.errors import DataError
from ftsdk_together.native_rows import RowSettings, native_rows

ASSISTANT = RowSettings("assistant", tools=True, reasoning=True)
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
TOOL = {"type": "function", "function": {"name": "add"}}


def messages_of(*turns):
    """Messages from ``"role: content"``."""
    return [dict(zip(("role", "content"), turn.split(": ", 1), strict=True)) for turn in turns]


CHAT = messages_of("system: s", "user: a", "assistant: b", "user: c", "assistant: d")


def native(value, manner=ASSISTANT):
    """One row."""
    [row] = native_rows([Row(value, "", "rows.jsonl", 3)], manner)
    return row


def loss(messages):
    """The words that carry loss."""
    return [message["content"] for message in messages if message.get("weight")]


@pytest.mark.parametrize(("train_on", "expected"), [("assistant", ["b", "d"]), ("completion", ["d"])])
def test_weights_mark_where_the_loss_is(train_on, expected):
    """Every answer has a weight: a reasoning model would learn from the last one alone."""
    messages = native({"messages": CHAT}, ASSISTANT._replace(train_on=train_on))["messages"]

    assert expected == loss(messages)
    assert ["assistant", "assistant"] == [message["role"] for message in messages if "weight" in message]


def test_no_weights_where_all_is_learned():
    """With train_on=all, train_on_inputs says it."""
    assert {"messages": CHAT} == native({"messages": CHAT}, ASSISTANT._replace(train_on="all"))


@pytest.mark.parametrize("train_on", ["assistant", "completion"])
def test_a_prompt_of_messages_is_not_learned(train_on):
    """Of a prompt and a completion in messages, the completion alone carries loss, whatever the prompt answers."""
    row = native({"prompt": CHAT[:4], "completion": CHAT[4:]}, ASSISTANT._replace(train_on=train_on))

    assert (["d"], 5) == (loss(row["messages"]), len(row["messages"]))


@pytest.mark.parametrize("row", [{"prompt": "a", "completion": "b"}, {"text": "a"}])
def test_plain_rows_stay_as_they_are(row):
    """Text needs no change."""
    assert row == native(row)


def test_preferences():
    """A preference is an input and two single answers."""
    row = {
        "prompt": CHAT[:4],
        "chosen": messages_of("assistant: d"),
        "rejected": messages_of("assistant: e"),
        "tools": [TOOL],
    }

    expected = {
        "input": {"messages": CHAT[:4], "tools": [TOOL]},
        "preferred_output": messages_of("assistant: d"),
        "non_preferred_output": messages_of("assistant: e"),
    }
    assert expected == native(row)


def test_preferences_in_plain_text():
    """Plain prompts and answers become messages, for Together takes no others."""
    row = native({"prompt": "a", "chosen": "b", "rejected": "c"})

    expected = {
        "input": {"messages": messages_of("user: a")},
        "preferred_output": messages_of("assistant: b"),
        "non_preferred_output": messages_of("assistant: c"),
    }
    assert expected == row


def test_calls_carry_their_arguments_as_json():
    """Services take a call's arguments as a string of JSON."""
    messages = [*messages_of("user: 1+1?"), {"role": "assistant", "content": "", "tool_calls": [CALL]}]

    [call] = native({"messages": messages, "tools": [TOOL]})["messages"][1]["tool_calls"]
    assert {"a": 1} == json.loads(call["function"]["arguments"])
    assert {"a": 1} == CALL["function"]["arguments"]


UNSUPPORTED = {
    "developer": {"messages": messages_of("developer: x", "user: a", "assistant: b")},
    "two answers": {"prompt": "a", "chosen": messages_of("assistant: b", "user: c", "assistant: d"), "rejected": "e"},
    "empty prompt": {"prompt": " ", "chosen": "b", "rejected": "c"},
    "tools with text": {"prompt": "a", "completion": "b", "tools": [TOOL]},
}


@pytest.mark.parametrize("row", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_rows_are_named(row):
    """What Together does not support is refused with file and line, and without a word of the row."""
    with pytest.raises(DataError) as caught:
        native(row)

    assert "rows.jsonl:3" == caught.value.problems[0].where


def test_nothing_to_learn():
    """Where the last message is the user's, the completion is empty."""
    with pytest.raises(DataError, match="no answer to learn from"):
        native({"messages": CHAT[:4]}, ASSISTANT._replace(train_on="completion"))


@pytest.mark.parametrize(
    ("lacks", "row"),
    [
        ("tools", {"messages": CHAT, "tools": [TOOL]}),
        (
            "tools",
            {"messages": [*CHAT, *messages_of("user: x"), {"role": "assistant", "content": "", "tool_calls": [CALL]}]},
        ),
        ("reasoning", {"messages": [CHAT[1], {"role": "assistant", "content": "b", "reasoning_content": "hm"}]}),
    ],
)
def test_what_the_model_cannot_do(lacks, row):
    """Rows with tools or reasoning are refused for models that have none."""
    with pytest.raises(DataError):
        native(row, ASSISTANT._replace(**{lacks: False}))


def test_problems_are_gathered():
    """All bad rows are named, up to twenty."""
    bad = Row(UNSUPPORTED["developer"], "", "rows.jsonl", 1)

    with pytest.raises(DataError) as caught:
        list(native_rows([bad] * 50, ASSISTANT))
    assert 20 == len(caught.value.problems)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6), st.sampled_from(["assistant", "completion", "all"]))
def test_no_word_is_lost(words, train_on):
    """All messages are sent as they are, and in order."""
    messages = [{"role": ("user", "assistant")[place % 2], "content": word} for place, word in enumerate(words)]
    messages += [{"role": "assistant", "content": "z"}] if len(words) % 2 else []

    converted = native({"messages": messages}, ASSISTANT._replace(train_on=train_on))["messages"]

    received = json.loads(json.dumps(converted))
    assert messages == [{key: message[key] for key in ("role", "content")} for message in received]
