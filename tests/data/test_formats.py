"""Formats: each is recognised from its keys and converted to canonical form."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftsdk.data import Row, rows
from ftsdk.data.formats import FORMATS, TAKES, recognise
from ftsdk.data.messages import check_messages
from ftsdk.errors import DataError
from ftsdk.spec import Dataset
from ftsdk.spec import method as spec_method

USER = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "hi"}
BAD_ANSWER = {"role": "assistant", "content": "no"}
SYSTEM = {"role": "system", "content": "be kind"}
FUNCTION = {"name": "f", "arguments": {"x": 1}}
CALL = {"type": "function", "function": FUNCTION}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def _rows(folder: Path, row: Any, method: str, **settings: Any) -> list[Row]:
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return list(rows(Dataset(path=str(file), **settings), method))


CANONICAL = [
    ("sft", {"messages": [USER, ANSWER]}, "messages", None),
    ("sft", {"messages": [SYSTEM, USER, ANSWER, USER]}, "messages", None),
    ("sft", {"messages": [USER, ANSWER], "tools": [TOOL]}, "messages", None),
    ("sft", {"prompt": "a", "completion": "b"}, "prompt_completion", None),
    ("sft", {"prompt": "", "completion": "b"}, "prompt_completion", None),
    ("sft", {"prompt": [USER], "completion": [ANSWER]}, "prompt_completion", None),
    ("sft", {"text": "a"}, "text", None),
    ("dpo", {"prompt": "a", "chosen": "b", "rejected": "c"}, "preference", None),
    ("orpo", {"prompt": [USER], "chosen": [ANSWER], "rejected": [BAD_ANSWER]}, "preference", None),
    ("kto", {"prompt": "a", "completion": "b", "label": False}, "unpaired_preference", None),
    ("grpo", {"prompt": "a"}, "prompt", None),
    ("ppo", {"prompt": [USER]}, "prompt", None),
    ("ppo", {"prompt": "a", "completion": "b"}, "prompt_completion", None),
    ("grpo", {"messages": [USER, ANSWER]}, "messages", None),
    (
        "kto",
        {"messages": [USER, ANSWER], "label": True},
        "unpaired_preference",
        {"prompt": [USER], "completion": [ANSWER], "label": True},
    ),
    (
        "kto",
        {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}], "label": False},
        "unpaired_preference",
        {"prompt": [USER], "completion": [ANSWER], "label": False},
    ),
    (
        "sft",
        {"instruction": "", "input": "hello", "output": "hi"},
        "messages",
        {"messages": [USER, ANSWER]},
    ),
    (
        "dpo",
        {"chosen": [USER, ANSWER], "rejected": [USER, BAD_ANSWER]},
        "preference",
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [BAD_ANSWER]},
    ),
    (
        "dpo",
        {"prompt": "hello", "chosen": [USER, ANSWER], "rejected": [USER, ANSWER]},
        "preference",
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [ANSWER]},
    ),
    (
        "sft",
        {"instruction": "add", "input": "1 2", "output": "3"},
        "messages",
        {"messages": [{"role": "user", "content": "add\n\n1 2"}, {"role": "assistant", "content": "3"}]},
    ),
    (
        "sft",
        {"instruction": "hello", "input": None, "output": "hi", "system": "be kind", "history": [["hello", "no"]]},
        "messages",
        {"messages": [SYSTEM, USER, BAD_ANSWER, USER, ANSWER]},
    ),
    (
        "sft",
        {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}], "system": "be kind"},
        "messages",
        {"messages": [SYSTEM, USER, ANSWER]},
    ),
    (
        "sft",
        {
            "conversations": [
                {"from": "system", "value": "be kind"},
                {"from": "human", "value": "hello"},
                {"from": "function_call", "value": json.dumps(FUNCTION)},
                {"from": "observation", "value": "2"},
                {"from": "gpt", "value": "hi"},
            ],
            "tools": json.dumps([TOOL["function"]]),
        },
        "messages",
        {
            "messages": [
                SYSTEM,
                USER,
                {"role": "assistant", "content": "", "tool_calls": [CALL]},
                {"role": "tool", "content": "2"},
                ANSWER,
            ],
            "tools": [TOOL],
        },
    ),
    (
        "reward_modeling",
        {
            "conversations": [{"from": "human", "value": "hello"}],
            "chosen": {"from": "gpt", "value": "hi"},
            "rejected": {"from": "gpt", "value": "no"},
        },
        "preference",
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [BAD_ANSWER]},
    ),
]


def test_a_preference_may_carry_a_label(tmp_path: Path) -> None:
    """Where a row could be a preference or labelled, it is the preference: that needs more keys."""
    turn = {"from": "gpt", "value": "hi"}
    row = {"conversations": [{"from": "human", "value": "hello"}], "chosen": turn, "rejected": turn, "label": True}

    assert "preference" == _rows(tmp_path, row, "dpo")[0].format


@pytest.mark.parametrize(("method", "row", "name", "expected"), CANONICAL)
def test_rows_come_in_canonical_form(method: str, row: Any, name: str, expected: Any, tmp_path: Path) -> None:
    """A row is recognised by its keys, and what is canonical already stays as it is."""
    assert [Row(expected or row, name, str(tmp_path / "rows.jsonl"), 1)] == _rows(tmp_path, row, method)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}, USER),
        ({**USER, "name": None, "tool_calls": None}, USER),
        ({**USER, "name": "ann"}, {**USER, "name": "ann"}),
    ],
)
def test_messages_are_made_plain(message: Any, expected: Any) -> None:
    """Text parts are joined, and null counts as absent."""
    assert [expected] == check_messages([message], "messages")


@pytest.mark.parametrize(
    "call", [CALL, FUNCTION, {"function": {"name": "f", "arguments": '{"x": 1}'}}, {**CALL, "index": 0}]
)
def test_calls_take_one_form(call: Any) -> None:
    """However a tool is called, the call has a type, a function, and its arguments as an object."""
    message = {"role": "assistant", "content": None, "tool_calls": [call]}

    assert [CALL] == check_messages([USER, message], "messages")[1]["tool_calls"]


def test_a_call_keeps_its_id() -> None:
    """A call's id stays, and so does the answer's reference to it."""
    called = {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", **CALL}]}
    answered = {"role": "tool", "content": "2", "tool_call_id": "c1"}

    assert [USER, called, answered] == check_messages([USER, called, answered], "messages")


def test_a_completion_may_answer_a_call(tmp_path: Path) -> None:
    """A prompt may end with a tool's answer, and a completion may follow the call itself."""
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    answered = {"role": "tool", "content": "2"}
    row = {"prompt": [USER, called], "completion": [answered, ANSWER]}

    assert row == _rows(tmp_path, row, "sft")[0].value


def test_columns_are_renamed_before_a_row_is_recognised(tmp_path: Path) -> None:
    """``dataset.columns`` maps our keys to those in the file, also when it swaps them."""
    row = {"question": "a", "prompt": "not this", "answer": "b"}
    renamed = _rows(tmp_path, row, "sft", columns={"prompt": "question", "completion": "answer"})
    swapped = _rows(
        tmp_path,
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        "dpo",
        columns={"chosen": "rejected", "rejected": "chosen"},
    )

    assert {"prompt": "a", "completion": "b"} == renamed[0].value
    assert {"prompt": "a", "chosen": "c", "rejected": "b"} == swapped[0].value


@pytest.mark.parametrize(
    ("columns", "where", "fix"),
    [
        ({"promt": "question"}, "dataset.columns.promt", "did you mean prompt?"),
        ({"prompt": "q", "completion": "q"}, "dataset.columns", "use it once"),
    ],
)
def test_columns_must_make_sense(columns: dict[str, str], where: str, fix: str, tmp_path: Path) -> None:
    """A key that no format has, and a column that is used twice, are refused."""
    with pytest.raises(DataError) as caught:
        _rows(tmp_path, {"q": "a"}, "sft", columns=columns)

    assert [(where, fix)] == [(problem.where, problem.fix) for problem in caught.value.problems]


def test_a_format_that_is_asked_for_is_kept_to(tmp_path: Path) -> None:
    """``dataset.format`` decides where a row could be read in several ways."""
    row = {"prompt": "a", "completion": "b", "label": True}

    assert {"prompt": "a", "completion": "b"} == _rows(tmp_path, row, "sft", format="prompt_completion")[0].value


def test_a_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A row without the keys of the format in the spec is refused with the missing ones."""
    with pytest.raises(DataError, match="the row has no messages, which the format messages needs"):
        _rows(tmp_path, {"text": "a"}, "sft", format="messages")


def test_every_method_has_its_formats() -> None:
    """Each method of the spec is in the table, and takes formats that rows can become."""
    methods = {kind.model_fields["type"].default for kind in spec_method._Tagged.__subclasses__()}

    assert methods == TAKES.keys()
    assert {name for formats in TAKES.values() for name in formats} <= {format_.name for format_ in FORMATS}


@pytest.mark.parametrize("format_", FORMATS, ids=lambda format_: "+".join(sorted(format_.needs)))
def test_a_format_is_recognised_by_its_own_keys(format_: Any) -> None:
    """No format is hidden by one that comes before it in the table."""
    assert format_ is recognise(format_.needs)
